"""The ASGI application: routes, limits, and every error as one sentence. Knows nothing of sockets and snapshots.

A request takes the table of models once and keeps it; which version answers is `traffic`'s business, and whatever goes
wrong ends as a JSON body with a status. What the judge, the shadow and the prediction log want comes after the answer.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from components.errors import BadInputError, TowpathError
from components.serving.admission import Admission
from components.serving.asked import Asked, Attempt, request_id
from components.serving.body_reading import ClientGoneError, Receive, read_body
from components.serving.information import inform, version
from components.serving.labels import take_labels
from components.serving.measurements import Measurements
from components.serving.model_table import PAGE_ROUTE, Action, ModelTable, Route
from components.serving.options import Limits
from components.serving.refusals import RequestRefusedError
from components.serving.reply import Reply, refusal
from components.serving.split import REQUEST_ID_HEADER, USER_HEADER
from components.serving.traffic import answer_apart, answer_by
from components.serving.unknown_paths import no_model, unknown_path
from components.types.judging import GatewayStatus, WorkerStatus

if TYPE_CHECKING:
    from components.serving.board import Board
    from components.serving.bulkhead import Bulkhead
    from components.serving.judging import LiveJudge
    from components.serving.label_log import LabelLog
    from components.serving.prediction_log import PredictionLog

Send = Callable[[dict[str, Any]], Awaitable[None]]

_PAGE = Route(Action.PAGE)
_FAILED_STATUS = 500

log = logging.getLogger("towpath.gateway")

__all__ = ["Gateway", "version"]


class Gateway:
    """Answer requests from the models in `table`, which somebody else replaces."""

    def __init__(
        self,
        limits: Limits,
        token: str | None = None,
        *,
        state_dir: Path = Path(),
        board: Board | None = None,
        predictions: PredictionLog | None = None,
        labels: LabelLog | None = None,
        user_header: str | None = None,
    ) -> None:
        """Take what it may do, and whom it tells.

        Args:
            limits: What a client may ask.
            token: Required on every route but health when set.
            state_dir: The folder of the router snapshot, where the release page finds the ledger's view.
            board: What the workers of a gateway share; without one there is no judge, hence no canary and no shadow.
            predictions: The prediction log, if predictions are to be logged.
            labels: Where labels are kept, if predictions are logged.
            user_header: The request header that says who asks.
        """
        self.table = ModelTable()
        self.stats: dict[str, Measurements] = {"": Measurements()}
        """By model; the empty name stands for requests that reached none."""
        self.judges: dict[str, LiveJudge] = {}
        """By model: the judge of the revision that is served."""
        self.problems: dict[str, str] = {}
        """By model: why it is not at what the snapshot says."""
        self.in_flight = 0
        self.seen_sequence = 0
        self.swaps = 0
        self.refused = 0
        self.draining = False
        self.is_on_board = True
        """Whether the board has what this worker serves; it has not where there is no room or no descriptor for it. As
        long as it has, all workers say of each other the same, whichever of them is asked."""
        self.limits = limits
        self.state_dir = state_dir
        self.board = board
        self.predictions = predictions
        self._labels_kept = labels
        self.registry: Any = None
        self.bulkheads: list[Bulkhead] = []
        """Those that belong to no model."""
        self._admission = Admission(limits, token)
        self._user_header = USER_HEADER if user_header is None else user_header.lower().encode()

    @property
    def is_ready(self) -> bool:
        """Whether new requests should come here."""
        return self.table.is_ready and not self.draining

    @property
    def revs(self) -> dict[str, int]:
        """The revision that is served, by model."""
        return {name: each.split.rev for name, each in self.table.traffic.items() if each.is_whole}

    @property
    def loaded(self) -> dict[str, tuple[int, ...]]:
        """The versions that are loaded and warm, by model."""
        return {name: tuple(sorted(each.versions)) for name, each in self.table.traffic.items()}

    def release_status(self) -> GatewayStatus:
        """Return what all workers serve, and what the judges know; may be called in any thread."""
        number, workers = (0, ()) if self.board is None else (self.board.worker, self.board.workers())
        if not self.is_on_board or all(each.worker != number for each in workers):
            own = WorkerStatus(number, os.getpid(), 0.0, self.revs, self.loaded, dict(self.problems))
            others = (each for each in workers if each.worker != number)
            workers = tuple(sorted((own, *others), key=lambda each: each.worker))
        return GatewayStatus(workers, {name: judge.report() for name, judge in list(self.judges.items())})

    def close(self, time_s: float = 1.0) -> bool:
        """Ask whatever still computes to stop, since the process is about to end; return whether all of it did."""
        bulkheads = [*self.bulkheads, *(each for t in self.table.traffic.values() for each in t.all_bulkheads)]
        for bulkhead in bulkheads:
            bulkhead.stop_all()
        end_s = monotonic() + time_s
        while (is_busy := any(bulkhead.is_busy for bulkhead in bulkheads)) and monotonic() < end_s:
            sleep(0.01)
        return not is_busy

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = perf_counter()
        route = self._route(scope)
        headers = dict(scope["headers"])
        identity = request_id(headers)
        asked = None
        if route is not None and route.protocol is not None:
            asked = Asked(route.protocol, headers, identity, self.limits.rows, self._user_header)
        try:
            reply = await self._reply(route, asked, scope, headers, receive)
        except ClientGoneError:
            return
        answer = [
            (b"content-type", reply.content_type),
            (b"content-length", b"%d" % len(reply.body)),
            (REQUEST_ID_HEADER, identity),
            *reply.headers,
        ]
        model, role = (None, None) if route is None else (route.model, route.role)
        if asked is not None and asked.attempts:
            last = asked.attempts[-1]
            model, role = last.model, last.role
            answer.append(model.version_header)
        if self.draining or reply.status == 413:  # what may still be on its way is not worth reading
            answer.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": answer})
        await send({"type": "http.response.body", "body": reply.body})
        seconds = perf_counter() - started
        if model is None:
            self.stats[""].observe(reply.status, seconds)
        else:
            model.stats.observe(reply.status, seconds, model.version, "" if role is None else role)
        if asked is not None and asked.attempts and route is not None:
            self._heard(route, asked, reply.status, seconds)

    def _route(self, scope: Mapping[str, Any]) -> Route | None:
        path = scope["path"]
        route = self.table.routes.get(path)
        if route is None:
            return _PAGE if path.startswith(PAGE_ROUTE) else None
        return self._invoked(scope) if route.action is Action.INVOKE_ANY else route

    async def _reply(
        self,
        route: Route | None,
        asked: Asked | None,
        scope: Mapping[str, Any],
        headers: Mapping[bytes, bytes],
        receive: Receive,
    ) -> Reply:
        refused = self._admission.refused(route, scope["method"], headers, self.in_flight)
        if refused is not None or route is None:
            return refused or unknown_path(scope["path"], self.table)
        if not route.takes_body:
            return await inform(self, route, scope)
        self.in_flight += 1
        try:
            body = await read_body(receive, headers, self.limits.body_bytes)
            if asked is None:
                return self._labels(route, body)
            asked.body = body
            return await self._prediction(route, asked)
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

    async def _prediction(self, route: Route, asked: Asked) -> Reply:
        if route.model is None:
            raise no_model(route, self.table)
        if route.judged is not None:
            return await route.judged.answer(asked, self.limits.time_s)
        if route.is_apart:
            return await answer_apart(asked, route.model, route.role, self.limits.time_s)
        return await answer_by(asked, route.model, route.role, self.limits.time_s)

    def _labels(self, route: Route, body: bytes) -> Reply:
        if route.model is None or route.traffic is None:
            raise no_model(route, self.table)
        judge = route.traffic.judge
        known = judge.labelled if judge is not None else lambda request, label: False  # noqa: ARG005
        kept, model = self._labels_kept, route.model.ref.model
        keep = None if kept is None else partial(kept.keep, model)
        return take_labels(body, route.model.signature, self.limits.rows, known, keep)

    def _heard(self, route: Route, asked: Asked, status: int, seconds: float) -> None:
        """Tell the judge, the shadow and the log about a request that was answered."""
        if route.judged is not None:
            route.judged.heard(asked)
        if self.predictions is not None and route.traffic is not None:
            last = asked.attempts[-1]
            for attempt in asked.attempts:
                self.log_attempt(asked, attempt, route.traffic.split.rev, status if attempt is last else None, seconds)

    def log_attempt(
        self, asked: Asked, attempt: Attempt, rev: int, status: int | None = None, seconds: float | None = None
    ) -> None:
        """Log what a version made of a request; without a status it is that of an answer that nobody saw."""
        if self.predictions is None or attempt.batch is None:
            return
        if status is None:
            status = _FAILED_STATUS if attempt.bad is not None else 200
        self.predictions.offer(
            attempt.model,
            attempt.role,
            rev,
            asked.request_id.decode("latin-1"),
            asked.user,
            attempt.batch,
            attempt.outputs,
            attempt.seconds if seconds is None else seconds,
            status,
        )

    def _invoked(self, scope: Mapping[str, Any]) -> Route:
        """Return the route of ``/invocations`` with several models, where the query says which."""
        table = self.table
        names = parse_qs(scope["query_string"].decode("latin-1")).get("model", [])
        if len(names) == 1 and (route := table.routes.get(f"/models/{names[0]}/invocations")) is not None:
            return route
        return Route(Action.INVOKE_ANY)
