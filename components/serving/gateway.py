"""The ASGI application: routes, limits, and every error as one sentence. Knows nothing of sockets and snapshots.

A request takes the table of models once and keeps it; a prediction that is quick runs on the event loop, a long one in
a thread, and whatever goes wrong ends as a JSON body with a status.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import orjson

from components.errors import BadInputError, TowpathError
from components.serving import inference_v2, invocations
from components.serving.body_reading import ClientGoneError, Receive, read_body
from components.serving.input_plan import Batch, listed, nearest_name
from components.serving.measurements import Measurements
from components.serving.model_table import Action, ModelTable, Route
from components.serving.options import Limits
from components.serving.refusals import RequestRefusedError
from components.serving.reply import TEXT, Reply, refusal
from components.serving.served_model import ServedModel

Send = Callable[[dict[str, Any]], Awaitable[None]]

_GET, _POST = ("GET", "HEAD"), ("POST",)

log = logging.getLogger("towpath.gateway")


class Gateway:
    """Answer requests from the models in `table`, which somebody else replaces."""

    def __init__(self, limits: Limits, token: str | None = None) -> None:
        self.table = ModelTable()
        self.stats: dict[str, Measurements] = {"": Measurements()}
        """By model; the empty name stands for requests that reached none."""
        self.in_flight = 0
        self.seen_rev = 0
        self.swaps = 0
        self.refused = 0
        self.draining = False
        self._limits = limits
        self._token = None if token is None else f"Bearer {token}".encode()
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="predict")
        self._registry: Any = None

    @property
    def is_ready(self) -> bool:
        """Whether new requests should come here."""
        return self.table.is_ready and not self.draining

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = perf_counter()
        route = self.table.routes.get(scope["path"])
        if route is not None and route.action is Action.INVOKE_ANY:
            route = self._invoked(scope)
        try:
            reply = await self._reply(route, scope, receive)
        except ClientGoneError:
            return
        headers = [(b"content-type", reply.content_type), (b"content-length", b"%d" % len(reply.body)), *reply.headers]
        if self.draining or reply.status == 413:  # what may still be on its way is not worth reading
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        stats = route.model.stats if route is not None and route.model is not None else self.stats[""]
        stats.observe(reply.status, perf_counter() - started)

    async def _reply(self, route: Route | None, scope: Mapping[str, Any], receive: Receive) -> Reply:
        headers = dict(scope["headers"])
        if (early := self._refused_early(route, scope, headers)) is not None or route is None:
            return early or self._unknown_path(scope["path"])
        if not route.predicts:
            return await self._information(route)
        self.in_flight += 1
        try:
            body = await read_body(receive, headers, self._limits.body_bytes)
            return await self._prediction(route, headers, body)
        except RequestRefusedError as error:
            return refusal(error.status, str(error))
        except BadInputError as error:
            return refusal(400, str(error))
        except TowpathError as error:
            log.error("model %s failed: %s", route.model and route.model.ref, error)
            return refusal(500, str(error))
        except ClientGoneError:
            raise
        except Exception:
            log.exception("a request failed unexpectedly")
            return refusal(500, "the gateway failed while answering; its log says why")
        finally:
            self.in_flight -= 1

    def _refused_early(
        self, route: Route | None, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]
    ) -> Reply | None:
        """Return the refusal of a request whose body need not be read to refuse it."""
        if self._token is not None and (route is None or not route.is_open):
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, self._token):
                sentence = "a token is required: send `Authorization: Bearer …`"
                return refusal(401, sentence, (b"www-authenticate", b"Bearer"))
        if route is None:
            return None
        method, allowed = scope["method"], _POST if route.predicts else _GET
        if method not in allowed:
            return refusal(405, f"{method} is not possible here; use {allowed[0]}", (b"allow", allowed[0].encode()))
        if route.predicts and self.in_flight >= self._limits.in_flight:
            sentence = f"{self._limits.in_flight} requests are being answered, as many as may be; try again"
            return refusal(429, sentence, (b"retry-after", b"1"))
        return None

    async def _prediction(self, route: Route, headers: Mapping[bytes, bytes], body: bytes) -> Reply:
        model = route.model
        if model is None:
            raise self._no_model(route)
        if route.action is Action.INFER:
            length = headers.get(b"inference-header-content-length")
            question = inference_v2.parse(body, length, model, self._limits.rows)
            outputs = await self._predict(model, question.batch)
            return inference_v2.answer(model, question, outputs)
        batch = invocations.parse(body, headers.get(b"content-type", b""), model, self._limits.rows)
        return invocations.answer(model, await self._predict(model, batch))

    async def _predict(self, model: ServedModel, batch: Batch) -> Mapping[str, np.ndarray]:
        model.stats.rows += batch.rows
        if batch.rows <= model.inline_rows:
            return model.predict(batch)
        work = asyncio.get_running_loop().run_in_executor(self._threads, model.predict, batch)
        try:
            return await asyncio.wait_for(work, self._limits.time_s)
        except TimeoutError:
            raise RequestRefusedError(
                503, f"{batch.rows} rows took longer than {self._limits.time_s:g} s; send fewer at once"
            ) from None

    def _no_model(self, route: Route) -> RequestRefusedError:
        names = sorted({*self.table.models, *self.table.unavailable})
        if route.unavailable or not names:
            return RequestRefusedError(503, route.unavailable or "no model is served yet")
        return RequestRefusedError(
            400, f"several models are served, {listed(names)}: say which, as in /invocations?model={names[0]}"
        )

    def _invoked(self, scope: Mapping[str, Any]) -> Route:
        """Return the route of ``/invocations`` with several models, where the query says which."""
        table = self.table
        names = parse_qs(scope["query_string"].decode("latin-1")).get("model", [])
        if len(names) == 1 and (route := table.routes.get(f"/models/{names[0]}/invocations")) is not None:
            return route
        return Route(Action.INVOKE_ANY)

    def _unknown_path(self, path: str) -> Reply:
        if path.startswith(("/v2/models/", "/models/")):
            models = self.table.models
            known = listed(f"{name} version {model.version}" for name, model in models.items()) or "none"
            return refusal(404, f"no such model or version: {path[:120]}; served here: {known}")
        return refusal(404, f"no such path: {path[:120]}{nearest_name(path, self.table.routes)}")

    async def _information(self, route: Route) -> Reply:
        match route.action:
            case Action.LIVE:
                return Reply(200, orjson.dumps({"live": True}))
            case Action.READY | Action.PING:
                return self._readiness()
            case Action.MODEL_READY:
                if route.model is None:
                    return refusal(503, route.unavailable)
                return Reply(200, orjson.dumps({"name": route.model.ref.model, "ready": True}))
            case Action.MODEL:
                if route.model is None:
                    return refusal(503, route.unavailable)
                return Reply(200, orjson.dumps(inference_v2.metadata(route.model)))
            case Action.METRICS:
                return await self._metrics()
            case Action.VERSION:
                return Reply(200, version().encode(), TEXT)
            case _:
                about = {"name": "towpath", "version": version(), "extensions": ["binary_tensor_data"]}
                return Reply(200, orjson.dumps(about))

    def _readiness(self) -> Reply:
        if self.draining:
            return refusal(503, "the gateway is stopping")
        if not self.table.is_ready:
            return refusal(503, next(iter(self.table.unavailable.values()), "no model is served yet"))
        return Reply(200, orjson.dumps({"ready": True}))

    async def _metrics(self) -> Reply:
        from components.serving import exposition  # an eighth of the start-up, and often never scraped

        if self._registry is None:
            self._registry = exposition.make_registry(self)
        text = await asyncio.to_thread(exposition.render, self._registry)
        return Reply(200, text, exposition.CONTENT_TYPE)


def version() -> str:
    """Return Towpath's version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("towpath")
    except PackageNotFoundError:  # run from the sources without being installed
        return "0"
