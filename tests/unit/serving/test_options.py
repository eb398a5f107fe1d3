"""Where a gateway may listen."""

from pathlib import Path

import pytest

from components.errors import ConfigError
from components.serving.options import GatewayOptions, check_options, is_loopback

TOKEN = "a-token-of-sufficient-length"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_this_machines_own_address_needs_no_token(host):
    assert is_loopback(host)
    check_options(GatewayOptions(Path("router.json"), host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "gateway.example.org", ""])
def test_any_other_address_needs_a_token(host):
    with pytest.raises(ConfigError, match="TOWPATH_GATEWAY_TOKEN"):
        check_options(GatewayOptions(Path("router.json"), host))
    check_options(GatewayOptions(Path("router.json"), host, token=TOKEN))


def test_a_short_token_is_refused():
    with pytest.raises(ConfigError, match="at least 16"):
        check_options(GatewayOptions(Path("router.json"), token="short"))


@pytest.mark.parametrize("age_s", [0.0, -1.0, float("inf"), float("nan")])
def test_a_log_whose_files_never_close_or_close_at_once_is_refused(age_s):
    with pytest.raises(ConfigError, match="--log-file-s is .*, expected a number of seconds above 0"):
        check_options(GatewayOptions(Path("router.json"), log_file_s=age_s))


def test_a_token_is_not_shown():
    assert TOKEN not in repr(GatewayOptions(Path("router.json"), token=TOKEN))
