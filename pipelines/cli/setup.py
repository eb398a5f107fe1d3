"""Commands about configuration and suites: config schema|show|check, suite propose."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from pipelines.cli.output import JsonOption, print_json, say

config = typer.Typer(help="Show and check configuration files.", no_args_is_help=True, rich_markup_mode=None)
suite = typer.Typer(help="Work on expectation suites.", no_args_is_help=True, rich_markup_mode=None)


class Kind(StrEnum):
    """What a configuration file is about."""

    MODEL = "model"
    ENVIRONMENT = "environment"
    PLAN = "plan"


@config.command()
def schema(
    kind: Annotated[Kind, typer.Argument(help="A model's, an environment's, a plan's.")] = Kind.MODEL,
) -> None:
    """Print the JSON schema of a configuration file."""
    if kind is Kind.PLAN:
        from components.release.plan import plan_schema

        print_json(plan_schema())
    elif kind is Kind.ENVIRONMENT:
        from pipelines.release.environment_check import environment_schema

        print_json(environment_schema())
    else:
        from pipelines.config import configuration_schema

        print_json(configuration_schema())


@config.command()
def show(model: str) -> None:
    """Print a model's configuration with every default filled in, as JSON."""
    from pipelines.config import load_model

    loaded = load_model(model)
    trainings = {name: training.model_dump(mode="json") for name, training in loaded.trainings.items()}
    print_json({"models": {model: loaded.model.model_dump(mode="json")}, "trainings": trainings})


@config.command()
def check(json: JsonOption = False) -> None:
    """Check configuration, plans, environments, dvc.yaml, suites, architectures; exit 2 when something is wrong."""
    from pipelines.project import project_problems

    problems = project_problems()
    if json:
        print_json({"problems": problems})
    else:
        for problem in problems:
            say(problem)
        if not problems:
            say("everything is in order")
    if problems:
        raise typer.Exit(2)


@suite.command()
def propose(
    model: str,
    force: Annotated[bool, typer.Option("--force", help="Replace the suite that is there.")] = False,
    json: JsonOption = False,
) -> None:
    """Draft an expectation suite from a model's ingested data; read it before you rely on it."""
    from components.validation.propose import propose_suite, require_free
    from pipelines.batches.intake import take_in
    from pipelines.batches.telling import require_good_news
    from pipelines.config import load_model
    from pipelines.run_lock import alone
    from pipelines.stages import StageRunner
    from pipelines.state import quiet

    quiet()
    loaded = load_model(model)
    require_free(model, force=force)  # before anything is read
    with alone(model):
        if intake := take_in(model, loaded.model.data, judge=False):
            require_good_news(intake)
        StageRunner().run(f"ingest@{model}")
        drafted = propose_suite(model, force=force)
    if json:
        print_json(drafted)
    else:
        count = len(drafted["expectations"])
        say(f"data/{model}/expectations.json holds {count} expectations drafted from the data; read and correct them")


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to the command line."""
    app.add_typer(config, name="config")
    app.add_typer(suite, name="suite")
