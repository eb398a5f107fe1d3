"""Commands that run the pipeline or say why they would: run, explain, prove-gates, reproduce."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.output import JsonOption, print_json, print_table, say, say_all

if TYPE_CHECKING:
    from pipelines.console import RunView
    from pipelines.outcome import RunOutcome
    from pipelines.run import RunRequest


def run(
    model: str,
    only: Annotated[str, typer.Option(help="Trainings to run, by name or kind, separated by commas.")] = "",
    set_: Annotated[list[str] | None, typer.Option("--set", help="Edit the configuration: training.key=value.")] = None,
    force: Annotated[list[str] | None, typer.Option(help="A step to run though nothing changed, or `all`.")] = None,
    no_register: Annotated[bool, typer.Option("--no-register", help="Stop before the registry.")] = False,
    challenger: Annotated[
        bool, typer.Option("--challenger", help="Register what passes as the challenger, stable nowhere.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and why; change nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Bring a model up to date: ingest, validate, train, evaluate, gate, register, make stable locally."""
    from components.errors import BadInputError
    from pipelines.overrides import edit_configuration
    from pipelines.run import RunRequest, check_request, planned

    if challenger and no_register:
        raise BadInputError("--challenger says how to register, and --no-register not to; give one of them")
    names = tuple(word.strip() for word in only.split(",") if word.strip())
    request = RunRequest(model, names, tuple(force or ()), register=not no_register, challenger=challenger)
    check_request(request)
    edits = edit_configuration(model, tuple(set_), dry=dry_run) if set_ else []
    for edit in edits:
        verb = "would edit" if dry_run else "edited"
        say(f"{verb} pipelines/configs/{model}.yaml: {edit.key}: {edit.before} -> {edit.after} (`git diff` shows it)")
    if dry_run:
        plan = planned(request, tuple(edit.key for edit in edits))
        if json:
            print_json(plan)
        else:
            print_table(("stage", "would run because"), [(name, "\n".join(why)) for name, why in plan.items()])
            say("nothing was changed" if plan else "nothing to do")
        return
    run_and_show(request, json)


def run_and_show(request: RunRequest, json: bool) -> None:
    """Run the pipeline, and show what it came to."""
    from pipelines.run import run_pipeline

    with _view(json) as view:
        outcome = run_pipeline(request, view)
    _show(outcome, json)


def explain(model: str, json: JsonOption = False) -> None:
    """Say of every stage of a model whether it is up to date, and if not, what changed."""
    from pipelines.config import load_model
    from pipelines.stages import changed_stages, following, model_stages

    stages = model_stages(model, load_model(model).trainings)
    changed = following(changed_stages(stages), stages, model)
    if json:
        print_json({stage: list(changed.get(stage, ())) for stage in stages})
        return
    print_table(("stage", "state"), [(stage, "\n".join(changed.get(stage, ())) or "up to date") for stage in stages])


def prove_gates(model: str, json: JsonOption = False) -> None:
    """Break a copy of a model in ten ways, and show that every one of them is refused."""
    from pipelines.prove_gates import prove_gates as prove

    proofs = prove(model)
    if json:
        print_json(proofs)
    else:
        rows = [(p.name, "refused" if p.refused else "PASSED", p.gate, p.reason) for p in proofs]
        print_table(("what was broken", "verdict", "by", "why"), rows)
    if not all(proof.as_expected for proof in proofs):
        raise typer.Exit(1)


def reproduce(model: str, version: int, json: JsonOption = False) -> None:
    """Rebuild a registered version from its lineage in a clean folder, and compare digests and metrics."""
    from pipelines.reproduce import reproduce as rebuild

    report = rebuild(model, version, say)
    if json:
        print_json(report)
    else:
        print_table(
            ("what", "registered", "rebuilt", "same"),
            [(c.what, c.registered, c.rebuilt, c.same) for c in report.checks],
        )
        say(report.sentence)
    if not report.reproduced:
        raise typer.Exit(4)


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to the command line."""
    for command in (run, explain, prove_gates, reproduce):
        app.command()(command)


@contextlib.contextmanager
def _view(json: bool) -> Iterator[RunView]:
    from pipelines.console import LineView, LiveView, SilentView

    if json:
        yield SilentView()
    elif sys.stderr.isatty():
        with LiveView() as view:
            yield view
    else:
        yield LineView()


def _show(outcome: RunOutcome, json: bool) -> None:
    if json:
        print_json(outcome)
    elif outcome.up_to_date:
        stands = "is the challenger and waits for a person" if outcome.challenger else "is stable locally"
        out = f"{outcome.model}: nothing to do; {'; '.join(outcome.sentences)}"
        say(out if outcome.taken_back else f"{outcome.model}: nothing to do; version {outcome.version} {stands}")
    else:
        rows = [
            (s.stage, s.verdict, f"{s.seconds:.1f}", "; ".join(outcome.reasons.get(s.stage, ()))[:90])
            for s in outcome.stages
        ]
        print_table(("stage", "cache verdict", "seconds", "because"), rows)
        print_table(
            ("gate", "verdict", "why"),
            [(v.gate, "passed" if v.passed else "REFUSED", "\n".join(v.reasons)) for v in outcome.verdicts],
        )
        for line in outcome.sentences:
            say(line)
    if outcome.batches and not json:
        say_all(outcome.batches.sentences)
