"""Commands about versions and predictions: register, compare, serve, ask, predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.output import JsonOption, print_json, print_table, say

EnvOption = Annotated[str, typer.Option("--env", help="local, staging or production.")]


def register(
    model: str,
    training: Annotated[str, typer.Option(help="Register this training's product instead of the winner's.")] = "",
    json: JsonOption = False,
) -> None:
    """Bring the model up to date, judge and register it; after `run --no-register` only the last steps are left."""
    from pipelines.cli.pipeline import run_and_show
    from pipelines.run import RunRequest

    run_and_show(RunRequest(model, candidate=training or None), json)


def compare(model: str, json: JsonOption = False) -> None:
    """Show a model's trainings and registered versions side by side."""
    from pipelines.compare import compare as compared

    found = compared(model)
    if json:
        print_json(found)
        return
    print_table(("training", *found.metrics, "bytes", "product"), found.training_rows(), title=f"trainings of {model}")
    if not any(training.metrics for training in found.trainings):
        say("none of them ran in this folder; schedules train in checkouts of their own")
    print_table(
        ("version", "training", "framework", *found.metrics, "data", "product", "local"),
        found.version_rows(),
        title="registered versions",
    )


def serve(
    model: Annotated[
        str, typer.Argument(help="A model that must have a stable version; all that have one are served.")
    ] = "",
    port: Annotated[int | None, typer.Option(help="The port on loopback; the environment's own by default.")] = None,
    env: EnvOption = "local",
    detach: Annotated[
        bool, typer.Option("--detach", help="Start it in the background; `towpath down` stops it.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Serve an environment's versions: Open Inference Protocol v2, MLflow's /invocations, /metrics, /release."""
    from components.errors import BadInputError
    from pipelines.gateway import run_gateway, start_gateway

    if not detach:
        if json:
            raise BadInputError(
                "in the foreground the gateway has the terminal to itself: leave out --json, or --detach"
            )
        run_gateway(model or None, port, env=env)
        return
    service = start_gateway(model or None, port, env=env)
    if json:
        print_json(service)
    else:
        option = "" if env == "local" else f" --env {env}"
        say(f"the gateway answers at {service.url}; `towpath ask {model or 'MODEL'}{option}` sends it a row")


def ask(model: str, env: EnvOption = "local", json: JsonOption = False) -> None:
    """Send one row of the test split to an environment's running gateway, and show what it answers."""
    from pipelines.gateway import ask as send

    answer = send(model, env=env)
    if json:
        print_json(answer)
        return
    print_table(("sent", "value"), list(answer.row.items())[:40], title=f"POST {answer.url}")
    print_table(("answered", "value"), answer.outputs.items())
    say(f"{model} version {answer.version} answered in {answer.milliseconds:.1f} ms; the true label is {answer.label}")


def predict(
    model: str,
    source: Path,
    output: Annotated[
        Path | None, typer.Option(help="Where to write; beside the source as *.predictions.* by default.")
    ] = None,
    version: Annotated[int | None, typer.Option(help="A registered version instead of the stable one.")] = None,
    json: JsonOption = False,
) -> None:
    """Predict every row of a CSV, Parquet or JSON-lines file, streaming."""
    from pipelines.batch import predict_batch

    done = predict_batch(model, source, output, version)
    if json:
        print_json(done)
    else:
        say(f"{done.rows} rows predicted by version {done.version} of {model}: {done.output}")


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to the command line."""
    for command in (register, compare, serve, ask, predict):
        app.command()(command)
