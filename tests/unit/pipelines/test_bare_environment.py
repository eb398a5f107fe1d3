"""What a server that runs a model's code gets to know of whoever starts it."""

import pytest

from pipelines.state import bare_environment


def test_no_token_no_url_and_no_secret_reaches_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "TOWPATH_TOKEN": "t",
        "TOWPATH_LEDGER_URL": "postgresql://u:p@h/d",
        "TOWPATH_PRODUCTION_LEDGER_URL": "postgresql://u:p@h/d",
        "TOWPATH_WEBHOOK_SECRET": "s",
        "MLFLOW_TRACKING_PASSWORD": "p",
        "AWS_SECRET_ACCESS_KEY": "k",
        "PREFECT_API_KEY": "k",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TOWPATH_GATEWAY_TOKEN", "its own")
    kept = bare_environment()
    assert not secrets.keys() & kept.keys()
    assert kept["TOWPATH_GATEWAY_TOKEN"] == "its own"
    assert "PATH" in kept
