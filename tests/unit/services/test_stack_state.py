"""What the stack puts aside, and how commands find it."""

from pathlib import Path

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
