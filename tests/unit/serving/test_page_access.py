"""A browser shows the token as a password; nothing else gets in, and nothing but the page is opened by it."""

import base64

import pytest

from components.serving import page

TOKEN = "a-token-of-sixteen-or-more"


def basic(text):
    return b"Basic " + base64.b64encode(text.encode())


@pytest.mark.parametrize(
    "given",
    [f"Bearer {TOKEN}".encode(), f"bearer  {TOKEN}".encode(), basic(f"anybody:{TOKEN}"), basic(f":{TOKEN}")],
)
def test_the_token_opens_the_page(given):
    assert page.admits(given, TOKEN)


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer wrong",
        TOKEN.encode(),
        b"Basic",
        b"Basic !!!",
        basic(TOKEN),
        basic(f"{TOKEN}:"),
        basic("anybody:wrong"),
        basic(f"anybody:{TOKEN}x"),
        b"Digest " + TOKEN.encode(),
        b"\xff\xfe \xff",
        basic("anybody:\udcff".encode("utf-8", "surrogateescape").decode("latin-1")),
    ],
)
def test_nothing_else_does(given):
    assert not page.admits(given, TOKEN)


def test_a_token_with_a_colon_is_taken_whole():
    assert page.admits(basic("me:a:b:c-and-some-more-letters"), "a:b:c-and-some-more-letters")


def test_the_challenge_makes_a_browser_ask():
    reply = page.challenge()
    assert reply.status == 401
    assert dict(reply.headers)[b"www-authenticate"].startswith(b'Basic realm="towpath"')
    assert TOKEN.encode() not in reply.body
