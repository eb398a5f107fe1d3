"""Install the environment of a kind that has one of its own, or say of each which one this machine can have, and why.

``python infra/environments.py KIND`` installs it, or makes a broken one anew; without an argument it says a few
sentences for each kind. Run from the project's root.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from components.errors import TowpathError
from components.training.core.environment import damage, environments_dir, require_environment
from components.training.core.environment_choice import (
    Choice,
    Environment,
    choice_variable,
    choose_here,
    fits,
    read_environment,
    this_machine,
)
from components.training.core.environment_install import find_python


def sentences(kind: str) -> Iterator[str]:
    """Say which of its locks a kind gets here and why, and whether that is installed."""
    environment = read_environment(kind)
    try:
        choice = choose_here(kind, environment)
    except TowpathError as error:
        yield f"{error}."
        return
    machine = this_machine()
    yield f"Kind {kind} gets {choice.name} on this machine ({machine}){_about_others(kind, environment, choice)}."
    folder = environments_dir() / choice.folder_name
    if not folder.exists():
        yield _how_to_install(environment, choice, folder)
    elif found := damage(folder):
        yield f"{folder} is broken: {found}; run `{environment.install}` to make it anew."
    else:
        yield f"{choice.name} is installed in {folder}."
    mine = {each.folder_name for each in environment.choices}
    names = [each.name for each in environment.choices]
    old = [each for name in names for each in folder.parent.glob(f"{name}-*/") if each.name not in mine]
    for each in sorted(old):
        yield f"{each} is of a former lock; delete it if no other copy of the project uses it."


def _about_others(kind: str, environment: Environment, choice: Choice) -> str:
    """Say of each other lock what this machine lacks for it, or how it is asked for."""
    about = ""
    for each in environment.choices:
        if each is not choice and any(fits(this_machine(), platform) for platform in each.platforms):
            about += f"; {choice_variable(kind)}={each.name} asks for {each.name}, which it can have as well"
        elif each is not choice:
            about += f"; {each.name} needs {' or '.join(map(str, each.platforms))}"
    return about


def _how_to_install(environment: Environment, choice: Choice, folder: Path) -> str:
    try:
        find_python(environment)
    except TowpathError as error:
        return f"{choice.name} is not installed: {error}."
    compiler = (
        "" if any(map(shutil.which, ("c++", "g++", "clang++"))) else "; it needs a C++ compiler, and there is none"
    )
    return (
        f"{choice.name} is not installed; `{environment.install}`, or the first training that needs it, puts about "
        f"{choice.disk_gb:g} GB into {folder}{compiler}."
    )


def main(arguments: list[str]) -> int:
    """Install what is named, or report on all."""
    if not arguments:
        for path in sorted(Path("components/training").glob("*/environment.json")):
            print("\n".join(sentences(path.parent.name)))
        return 0
    try:
        python = require_environment(arguments[0], lambda text: print(text, flush=True), repair=True)
    except TowpathError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"its interpreter: {python}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
