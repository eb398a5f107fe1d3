"""What the stack puts aside, and how commands find it."""

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from components.errors import ConflictError, FaultError
from pipelines.services import stack_state as state

REMOTE = {"url": "s3://bucket/files"}


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_credentials_are_readable_by_this_user_only_and_never_the_same(tmp_path: Path) -> None:
    first = state.make_settings(tmp_path / "data", tmp_path)
    assert (tmp_path / ".towpath/stack/settings.json").stat().st_mode & 0o777 == 0o600
    assert state.read_settings(tmp_path) == first
    second = state.make_settings(tmp_path / "data", tmp_path)
    assert not set(first.passwords.values()) & set(second.passwords.values())
    assert first.secret_key != second.secret_key


def test_commands_find_the_stack_unless_the_user_said_otherwise(tmp_path: Path) -> None:
    state.write_environment({"MLFLOW_TRACKING_URI": "http://stack", "PREFECT_API_URL": "http://stack/api"}, tmp_path)
    environment = {"MLFLOW_TRACKING_URI": "http://mine"}
    state.adopt_stack(environment, tmp_path)
    assert environment == {"MLFLOW_TRACKING_URI": "http://mine", "PREFECT_API_URL": "http://stack/api"}
    state.forget_environment(tmp_path)
    assert state.read_environment(tmp_path) == {}


def test_what_was_there_before_comes_back(tmp_path: Path) -> None:
    write(tmp_path, ".towpath/environments/staging/router.json", "laptop")
    write(tmp_path, ".dvc/config.local", "mine")
    state.take_over(REMOTE, tmp_path)
    assert not (tmp_path / ".towpath/environments").exists()
    assert "s3://bucket/files" in (tmp_path / ".dvc/config.local").read_text()
    write(tmp_path, ".towpath/environments/staging/router.json", "stack")
    state.take_over(REMOTE, tmp_path)  # again is the same
    assert (tmp_path / ".towpath/environments/staging/router.json").read_text() == "stack"
    state.hand_back(tmp_path)
    assert (tmp_path / ".towpath/environments/staging/router.json").read_text() == "laptop"
    assert (tmp_path / ".dvc/config.local").read_text() == "mine"


def test_the_stacks_routing_state_comes_back_when_it_was_kept(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    state.take_over(REMOTE, tmp_path)
    write(tmp_path, ".towpath/gateway/router.json", "stack")
    state.hand_back(tmp_path)
    assert not (tmp_path / ".towpath/gateway").exists()
    assert not (tmp_path / ".dvc/config.local").exists()
    state.take_over(REMOTE, tmp_path)
    assert (tmp_path / ".towpath/gateway/router.json").read_text() == "stack"


class Killed(BaseException):
    """A death that no handler sees."""


def interrupted(call: Callable[[], None], nth: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Let a call die before its `nth` step on the disk; return whether it had so many."""
    steps = itertools.count()

    def counted(step: Callable[..., object]) -> Callable[..., object]:
        def take(*arguments: object) -> object:
            if next(steps) == nth:
                raise Killed
            return step(*arguments)

        return take

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "move", counted(shutil.move))
        patched.setattr(Path, "rename", counted(Path.rename))
        patched.setattr(state, "write_private", counted(state.write_private))
        try:
            call()
        except Killed:
            return True
    return False


LAPTOP = {
    ".towpath/gateway/router.json": "laptop's gateway",
    ".towpath/environments/staging/router.json": "laptop's environments",
    ".dvc/config.local": "laptop's DVC",
}
OWN = {path: f"the stack's {path}" for path in list(LAPTOP)[:2]}


def read(root: Path, paths: dict[str, str]) -> dict[str, str]:
    return {path: (root / path).read_text() for path in paths if (root / path).is_file()}


def laid(root: Path) -> Path:
    """Lay the laptop's files into a project whose stack was up before."""
    for path, text in LAPTOP.items():
        write(root, path, text)
    state.take_over(REMOTE, root)
    for path, text in OWN.items():
        write(root, path, text)
    state.hand_back(root)
    return root


def test_a_take_over_that_was_killed_anywhere_goes_on_or_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for nth in itertools.count():
        again, undone = laid(tmp_path / f"again{nth}"), laid(tmp_path / f"undone{nth}")
        died = [interrupted(lambda: state.take_over(REMOTE, each), nth, monkeypatch) for each in (again, undone)]  # noqa: B023
        state.take_over(REMOTE, again)
        assert read(again, OWN) == OWN, nth
        for each in (again, undone):
            state.hand_back(each)
            assert read(each, LAPTOP) == LAPTOP, nth
        if not any(died):
            break
    assert nth > len(LAPTOP) + len(OWN), "nothing was interrupted"


def test_a_hand_back_that_was_killed_anywhere_goes_on_or_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for nth in itertools.count():
        again, undone = laid(tmp_path / f"again{nth}"), laid(tmp_path / f"undone{nth}")
        for each in (again, undone):
            state.take_over(REMOTE, each)
        died = [interrupted(lambda: state.hand_back(each), nth, monkeypatch) for each in (again, undone)]  # noqa: B023
        state.hand_back(again)
        assert read(again, LAPTOP) == LAPTOP, nth
        assert sorted(path.name for path in (again / ".towpath/stack").iterdir()) == ["own"], nth
        state.take_over(REMOTE, undone)
        assert read(undone, OWN) == OWN, nth
        state.hand_back(undone)
        assert read(undone, LAPTOP) == LAPTOP, nth
        if not any(died):
            break
    assert nth > len(LAPTOP) + len(OWN), "nothing was interrupted"


def test_what_a_command_wrote_after_an_interruption_is_not_buried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path, text in LAPTOP.items():
        write(tmp_path, path, text)
    assert interrupted(lambda: state.take_over(REMOTE, tmp_path), 1, monkeypatch)
    write(tmp_path, ".towpath/gateway/router.json", "newer")
    with pytest.raises(ConflictError, match="keep the one that is yours"):
        state.hand_back(tmp_path)
    shutil.rmtree(tmp_path / ".towpath/gateway")
    state.hand_back(tmp_path)
    assert read(tmp_path, LAPTOP) == LAPTOP


@pytest.mark.parametrize("content", ["", "[]", '{"TOWPATH_LED'])
def test_a_damaged_environment_is_told_in_a_sentence(content: str, tmp_path: Path) -> None:
    write(tmp_path, ".towpath/stack/environment.json", content)
    with pytest.raises(FaultError, match="delete the file, then `towpath stack up`"):
        state.read_environment(tmp_path)


def test_a_command_meets_the_whole_environment_while_it_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = {"TOWPATH_LEDGER_URL": "old"}, {"TOWPATH_LEDGER_URL": "new"}
    state.write_environment(old, tmp_path)
    met: list[dict[str, str]] = []

    def reading(step: Callable[..., object]) -> Callable[..., object]:
        def take(*arguments: object, **named: object) -> object:
            met.append(state.read_environment(tmp_path))
            done = step(*arguments, **named)
            met.append(state.read_environment(tmp_path))
            return done

        return take

    with monkeypatch.context() as patched:
        for name in ("open", "fdopen", "fsync"):
            patched.setattr(os, name, reading(getattr(os, name)))
        state.write_environment(new, tmp_path)
    assert met.count(old) > 1
    assert all(each in (old, new) for each in met)
    assert state.read_environment(tmp_path) == new
    assert (tmp_path / ".towpath/stack/environment.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / ".towpath/stack").iterdir()] == ["environment.json"]
