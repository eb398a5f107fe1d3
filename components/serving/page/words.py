"""Numbers and times as a person reads them. Knows nothing of releases."""

from __future__ import annotations

from datetime import UTC, datetime

SHORT_HASH = 12
NOTHING = "\N{EN DASH}"
"""Stands where there is no number."""


def count(value: int) -> str:
    """Return a whole number with thousands apart."""
    return f"{value:,}"


def e_value(value: float) -> str:
    """Return an e-value: three digits are enough, and very large ones say so."""
    if value >= 1e6:
        return f"{value:.1e}".replace("e+0", "e+")
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.001 else "< 0.001"


def share(part: int, whole: int) -> str:
    """Return a part of a whole in percent; a dash where there is no whole."""
    if not whole:
        return NOTHING
    percent = 100 * part / whole
    return f"{percent:.2g} %" if 0 < percent < 10 else f"{percent:.0f} %"


def milliseconds(value: float | None) -> str:
    """Return milliseconds, or a dash where nothing was measured."""
    if value is None:
        return NOTHING
    return f"{value:.2f} ms" if value < 10 else f"{value:,.0f} ms"


def duration(seconds: float | None) -> str:
    """Return a time span in its largest two units; a dash for none."""
    if seconds is None:
        return NOTHING
    whole = int(max(0.0, seconds))
    for size, name, smaller, small_name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name} {rest} {small_name}" if rest else f"{whole // size} {name}"
    return f"{whole} s"


def parsed_time(text: str) -> datetime | None:
    """Return an ISO time, taken for UTC where it names no zone; None when it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def moment(text: str) -> str:
    """Return an ISO time to the second in UTC; what is no time as it stands."""
    found = parsed_time(text)
    return text if found is None else f"{found.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def spaced(name: str) -> str:
    """Return a name from the code with spaces, as in ``server error``."""
    return name.replace("_", " ")


def short(digest: str) -> str:
    """Return the beginning of a digest or hash."""
    return digest[:SHORT_HASH]
