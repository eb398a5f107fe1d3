"""Answer the release page's paths. Knows what a page shows, not how it looks: that is in the templates."""

from __future__ import annotations

from components.errors import ConfigError
from components.serving.page.source import PageSource
from components.serving.reply import Reply, refusal
from components.types import record
from components.types.release_view import ReleaseView

VIEW_FILE = "release-view.json"
"""The ledger's projection, beside the router snapshot; written by whoever ticks rollouts."""


def render(source: PageSource, path: str) -> Reply:
    """Return the page at ``/release`` or ``/release/{model}``; blocks for some milliseconds, so call it in a thread."""
    try:
        view = read_view(source)
    except ConfigError as error:
        return refusal(503, str(error))
    return refusal(404, f"no model at {path} among {len(view.models)}")


def read_view(source: PageSource) -> ReleaseView:
    """Return the ledger's view.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    path = source.state_dir / VIEW_FILE
    try:
        return record.read(ReleaseView, path)
    except FileNotFoundError:
        raise ConfigError(f"there is no {path} yet; `towpath releases` or the next tick writes it") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
