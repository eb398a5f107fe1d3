"""Fill the page's templates; everything a person wrote is escaped. The only module that knows Jinja2."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from components.serving.page import words
from components.serving.page.notices import Tone
from components.serving.page.panel import Panel, pairs

_TONES = {"stable": Tone.GOOD, "rejected": Tone.BAD, "rolled_back": Tone.BAD, "quarantined": Tone.BAD}
_MOVING = ("candidate", "shadow", "canary")


def fill(template: str, **content: Any) -> str:
    """Return a page."""
    return _environment().get_template(f"{template}.html.j2").render(**content)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("components.serving.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    for each in (
        words.count, words.duration, words.e_value, words.milliseconds, words.moment, words.share, words.short,
        words.spaced, pairs, tone_of_state, users_of,
    ):  # fmt: skip
        made.filters[each.__name__] = each
    return made


def tone_of_state(state: str) -> Tone:
    """Return how good the news is that a version is in this state."""
    if state.startswith("paused"):
        return Tone.WARNING
    if state.startswith(_MOVING):
        return Tone.MOVING
    return _TONES.get(state, Tone.QUIET)


def users_of(panel: Panel, version: int) -> str:
    """Return the share of the users that a version answers; a dash for none."""
    return next((f"{bar.percent} %" for bar in panel.bars if bar.version == version), words.NOTHING)
