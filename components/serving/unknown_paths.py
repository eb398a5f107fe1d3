"""What is said to a request whose path leads to no model. Knows nothing of bodies."""

from __future__ import annotations

from components.serving.input_plan import listed, nearest_name
from components.serving.model_table import ModelTable, Route
from components.serving.refusals import RequestRefusedError
from components.serving.reply import Reply, refusal

_MODELS = ("/v1/models/", "/v2/models/", "/models/")
_NOT_OFFERED = (":classify", ":regress")
_SHOWN = 120


def no_model(route: Route, table: ModelTable) -> RequestRefusedError:
    """Return the refusal of a request for predictions whose route has no model that could answer."""
    names = sorted({*table.traffic, *table.unavailable})
    if route.unavailable or not names:
        return RequestRefusedError(503, route.unavailable or "no model is served yet")
    return RequestRefusedError(
        400, f"several models are served, {listed(names)}: say which, as in /invocations?model={names[0]}"
    )


def unknown_path(path: str, table: ModelTable) -> Reply:
    """Return the refusal of a request whose path is none of the gateway's."""
    if path.startswith(_MODELS[0]) and path.endswith(_NOT_OFFERED):
        return refusal(
            404, f"{path[:_SHOWN]}: `:classify` and `:regress` are not offered; `:predict` takes the same columns"
        )
    if path.startswith(_MODELS):
        versions = (
            f"{name} version {number}" for name, each in table.traffic.items() for number in sorted(each.versions)
        )
        return refusal(404, f"no such model or version: {path[:_SHOWN]}; served here: {listed(versions) or 'none'}")
    return refusal(404, f"no such path: {path[:_SHOWN]}{nearest_name(path, table.routes)}")
