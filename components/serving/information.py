"""What the gateway tells about itself: health, models, metrics, and how a release stands. Predicts nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import orjson

from components.errors import BadInputError
from components.serving import inference_v2, tensorflow_model
from components.serving.input_plan import listed
from components.serving.model_table import Action, Route
from components.serving.refusals import RequestRefusedError, shown
from components.serving.reply import TEXT, Reply, refusal
from components.types.record import dump
from components.types.release import Role

if TYPE_CHECKING:
    from components.serving.gateway import Gateway

_WINDOW_S = 300.0


async def inform(gateway: Gateway, route: Route, scope: Mapping[str, Any]) -> Reply:
    """Return the answer to a request that asks about the gateway."""
    match route.action:
        case Action.LIVE:
            return Reply(200, orjson.dumps({"live": True}))
        case Action.READY | Action.PING:
            return _readiness(gateway)
        case Action.MODEL | Action.MODEL_READY:
            return _model(route)
        case Action.PREDICT_STATUS | Action.PREDICT_METADATA:
            return _tensorflow(route)
        case Action.METRICS:
            return await _metrics(gateway)
        case Action.VERSION:
            return Reply(200, version().encode(), TEXT)
        case Action.STATUS:
            return Reply(200, orjson.dumps(dump(gateway.release_status())))
        case Action.HEALTH:
            return _health(gateway, scope)
        case Action.PAGE:
            return await _page(gateway, scope["path"])
        case _:
            about = {"name": "towpath", "version": version(), "extensions": ["binary_tensor_data"]}
            return Reply(200, orjson.dumps(about))


def _readiness(gateway: Gateway) -> Reply:
    if gateway.draining:
        return refusal(503, "the gateway is stopping")
    if not gateway.table.is_ready:
        return refusal(503, next(iter(gateway.table.unavailable.values()), "no model is served yet"))
    return Reply(200, orjson.dumps({"ready": True}))


def _model(route: Route) -> Reply:
    model = route.model
    if model is None:
        return refusal(503, route.unavailable)
    if route.action is Action.MODEL_READY:
        return Reply(200, orjson.dumps({"name": model.ref.model, "ready": True}))
    loaded = sorted(route.traffic.versions) if route.traffic else []
    return Reply(200, orjson.dumps(inference_v2.metadata(model, [str(each) for each in loaded])))


def _tensorflow(route: Route) -> Reply:
    if route.action is Action.PREDICT_STATUS:
        named = [route.model] if route.model is not None else []
        known = route.traffic.versions.values() if route.role is not None and route.traffic is not None else named
        content = tensorflow_model.status(known) if known else None
    else:
        content = None if route.model is None else tensorflow_model.metadata(route.model)
    return refusal(503, route.unavailable) if content is None else Reply(200, orjson.dumps(content))


async def _metrics(gateway: Gateway) -> Reply:
    from components.serving import exposition  # an eighth of the start-up, and often never scraped

    if gateway.registry is None:
        gateway.registry = exposition.make_registry(gateway)
    text = await asyncio.to_thread(exposition.render, gateway.registry)
    return Reply(200, text, exposition.CONTENT_TYPE)


async def _page(gateway: Gateway, path: str) -> Reply:
    from components.serving import page  # templates, which nothing else needs

    return await asyncio.to_thread(page.render, gateway, path)


def _health(gateway: Gateway, scope: Mapping[str, Any]) -> Reply:
    try:
        model, role, window_s = _health_query(scope["query_string"].decode("latin-1"))
        judge = gateway.judges.get(model)
        if judge is None:
            known = listed(gateway.judges) or "none"
            raise RequestRefusedError(404, f"nothing is known of a model {shown(model)}; there are: {known}")
        return Reply(200, orjson.dumps(dump(judge.health(role, window_s))))
    except RequestRefusedError as error:
        return refusal(error.status, str(error))
    except BadInputError as error:
        return refusal(400, str(error))


def _health_query(query: str) -> tuple[str, Role, float]:
    given = {name: values[-1] for name, values in parse_qs(query).items()}
    if not {"model", "role"} <= given.keys() <= {"model", "role", "window_s"}:
        raise BadInputError("expected a query like ?model=NAME&role=stable&window_s=300")
    try:
        role = Role(given["role"])
    except ValueError:
        raise BadInputError(
            f"unknown role {shown(given['role'])}; there are {listed(role.value for role in Role)}"
        ) from None
    try:
        window_s = float(given.get("window_s", _WINDOW_S))
    except ValueError:
        window_s = -1.0
    if not 0 < window_s < 1e9:
        raise BadInputError(f"`window_s` is {shown(given.get('window_s'))}, expected a number of seconds above 0")
    return given["model"], role, window_s


def version() -> str:
    """Return Towpath's version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("towpath")
    except PackageNotFoundError:  # run from the sources without being installed
        return "0"
