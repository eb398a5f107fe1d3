"""What an environment's file may hold, and what is wrong with those that are there. Changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.errors import BadInputError
from components.types.release import Environment
from pipelines.release.environment_config import EnvironmentSection, Right
from pipelines.release.environments import ENVIRONMENTS_DIR, EnvironmentConfig, load_environment


def environment_schema() -> dict[str, Any]:
    """Return the JSON schema of an environment's file."""
    section = EnvironmentSection.model_json_schema()
    definitions = section.pop("$defs")  # references are to the document's own root
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Towpath environment",
        "type": "object",
        "properties": {"environment": section},
        "required": ["environment"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def environment_problems(root: Path = Path()) -> list[str]:
    """Return one sentence for each thing that is wrong with the environments' files; empty when they are in order."""
    problems: list[str] = []
    found: list[EnvironmentConfig] = []
    for name in Environment:
        try:
            found.append(load_environment(name.value, root))
        except BadInputError as error:
            problems.append(str(error))
    known = {each.value for each in Environment}
    for path in sorted((root / ENVIRONMENTS_DIR).glob("*.yaml")):
        if path.stem not in known:
            problems.append(f"{path} is of no environment; there are: {', '.join(each.value for each in Environment)}")
    for env in found:
        problems += _problems_of(env)
    return problems


def _problems_of(env: EnvironmentConfig) -> list[str]:
    path = env.root / ENVIRONMENTS_DIR / f"{env.name.value}.yaml"
    order = list(Environment)
    before = order[order.index(env.name) - 1] if env.name is not order[0] else None
    problems = []
    if env.source is not before:
        problems.append(
            f"{path}: key `environment.after` is {env.source or 'null'}, expected {before or 'null'}: a version goes "
            "through local, staging and production in this order"
        )
    try:
        needed = env.plan().approvals.stable
    except BadInputError as error:
        return [*problems, f"{path}: key `environment.plan`: {error}"]
    may_approve = [name for name, actor in env.section.actors.items() if Right.APPROVE in actor.may]
    if env.section.actors and len(may_approve) < needed:
        problems.append(
            f"{path}: key `environment.actors`: plan `{env.plan_name}` asks for {needed} approvals, and "
            f"{', '.join(may_approve) or 'nobody'} may approve; add `approve` to somebody's `may`"
        )
    return [*problems, *_problems_of_plans(env, needed, f"{path}: key `environment.plans`")]


def _problems_of_plans(env: EnvironmentConfig, needed: int, where: str) -> list[str]:
    """Return what is wrong with the further plans: each would let whoever proposes choose how many must agree."""
    problems = []
    for name in env.section.plans:
        try:
            asked = env.plan(name).approvals.stable
        except BadInputError as error:
            problems.append(f"{where}: {error}")
            continue
        if env.section.actors and asked < needed:
            problems.append(
                f"{where}: plan `{name}` asks for {asked} approvals and `{env.plan_name}` for {needed}, so that "
                "whoever proposes could do without; take it out, or have it ask for as many"
            )
    return problems
