"""Whose turn it is: one model's requests between its stable version, canary and shadow. Knows no HTTP and no file.

Immutable once made, and replaced as a whole when the split changes. Stable answers on the event loop, or in its own
threads where it takes long. A canary only ever computes behind a bulkhead of its own: where it fails, takes too long or
has too many waiting, stable answers in its place, so that a user of the canary notices nothing but a little time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from components.errors import BadInputError
from components.runtime.protocol import Stop
from components.serving.asked import Asked, Attempt, bad_event, failed
from components.serving.bulkhead import Bulkhead, BulkheadFullError
from components.serving.mirroring.mirror import Mirror
from components.serving.refusals import RequestRefusedError
from components.serving.reply import Reply
from components.serving.served_model import ServedModel
from components.serving.split import takes_canary
from components.types.judging import BadEvent
from components.types.release import JudgeSettings, Role, TrafficSplit

if TYPE_CHECKING:
    from components.serving.judging import LiveJudge

CANARY_WAITING = 64
"""Most requests waiting for the canary: more is a canary that does not keep up."""
CANARY_THREADS = max(2, min(8, os.cpu_count() or 1))

Tell = Callable[[Asked, Attempt], None]


class Traffic:
    """The versions of one model that are in memory, and who answers what, at one revision."""

    def __init__(
        self,
        split: TrafficSplit,
        versions: Mapping[int, ServedModel],
        judge: LiveJudge | None = None,
        settings: JudgeSettings | None = None,
        tell: Tell | None = None,
        *,
        is_whole: bool = True,
    ) -> None:
        """Take the split, and at least its versions, loaded; a canary or shadow needs a judge to get requests.

        Args:
            split: Who is what.
            versions: Every loaded version, by its number; those that the split does not name get pinned requests only.
            judge: Who hears of every request.
            settings: The time limit of a canary or shadow.
            tell: Who else (on the event loop) hears what a shadow answered.
            is_whole: Whether this is the split of its revision; False where a version of it could not be loaded.
        """
        self.is_whole = is_whole
        self.split = split
        self.versions = versions
        self.judge = judge
        self.stable = None if split.stable is None else versions[split.stable]
        self.canary = versions[split.canary] if split.canary is not None and judge is not None else None
        self.mirror: Mirror | None = None
        self.settings = settings or JudgeSettings()
        self._bulkhead: Bulkhead | None = None
        # a comparable time costs two system calls, and nothing is compared where nothing is tried out
        is_compared = self.canary is not None or split.shadow is not None
        self._compute = Attempt.compute_timed if is_compared else Attempt.compute_clocked
        if self.canary is not None:
            self._bulkhead = Bulkhead(f"canary-{split.model}", CANARY_THREADS, CANARY_WAITING)
        if split.shadow is not None and judge is not None:
            self.mirror = Mirror(versions[split.shadow], judge, self.settings.time_limit_s, tell)

    @property
    def named(self) -> dict[int, ServedModel]:
        """The versions that the split names."""
        return {number: self.versions[number] for number in self.split.versions}

    @property
    def bulkheads(self) -> tuple[Bulkhead, ...]:
        """Those of the canary and of the shadow."""
        found = (self._bulkhead, self.mirror.bulkhead if self.mirror else None)
        return tuple(bulkhead for bulkhead in found if bulkhead is not None)

    @property
    def all_bulkheads(self) -> tuple[Bulkhead, ...]:
        """Those, and the loaded versions' own."""
        return (*self.bulkheads, *(model.bulkhead for model in self.versions.values()))

    def with_versions(self, versions: Mapping[int, ServedModel]) -> Traffic:
        """Return the same traffic, same judge and bulkheads included, with other versions loaded beside its own."""
        changed = copy(self)
        changed.versions = versions
        return changed

    async def answer(self, asked: Asked, time_s: float) -> Reply:
        """Answer a request that names no version.

        Raises:
            RequestRefusedError: the body is malformed, or stable took longer than `time_s`.
            SchemaError: its values are not what stable takes.
            FaultError: stable failed.
        """
        canary, judge = self.canary, self.judge
        if (
            canary is not None
            and judge is not None
            and (weight := judge.weight) > 0
            and takes_canary(asked.user, self.split.model, canary.ref.version, weight)
        ):
            return await self._by_canary(asked, canary, judge, time_s)
        return await self._by_stable(asked, time_s)

    def heard(self, asked: Asked) -> None:
        """Tell the judge what came of a request, and mirror it; called once its answer was sent."""
        judge, attempts = self.judge, asked.attempts
        if judge is None or not attempts:
            return
        turn = attempts[0]
        if turn.role is None or (turn.outputs is None and turn.bad is None):
            return  # refused: it says nothing about the version
        judge.answered(turn.role, asked.user, asked.request, turn.seconds, turn.bad, turn.outputs)
        if self.mirror is not None and turn.role is Role.STABLE and turn.outputs is not None and not judge.stopped:
            self.mirror.offer(asked, turn)

    async def _by_stable(self, asked: Asked, time_s: float) -> Reply:
        assert self.stable is not None
        return await answer_by(asked, self.stable, Role.STABLE, time_s, self._compute)

    async def _by_canary(self, asked: Asked, canary: ServedModel, judge: LiveJudge, time_s: float) -> Reply:
        """Return the canary's answer, or stable's where the canary has none."""
        assert self._bulkhead is not None
        started_s = perf_counter()

        def compute(stop: Stop) -> tuple[Attempt, Reply]:
            with judge.running(Role.CANARY):
                attempt = asked.understood_by(canary, Role.CANARY)
                attempt.compute_timed(stop)
                return attempt, attempt.reply()

        try:
            attempt, reply = await self._bulkhead.run(compute, canary.make_stop(), self.settings.time_limit_s)
        except BulkheadFullError:
            bad = BadEvent.TIMEOUT
        except BadInputError:
            return await self._by_stable_after_refusal(asked, canary, time_s)
        except Exception as error:
            bad = bad_event(error)
        else:
            asked.attempts.append(attempt)
            canary.stats.rows += attempt.batch.rows if attempt.batch else 0
            return reply
        asked.attempts.append(failed(canary, Role.CANARY, bad, perf_counter() - started_s))
        return await self._by_stable(asked, time_s)

    async def _by_stable_after_refusal(self, asked: Asked, canary: ServedModel, time_s: float) -> Reply:
        """Return stable's answer to what the canary refused: a broken contract, unless stable refuses it as well."""
        try:
            return await self._by_stable(asked, time_s)
        finally:
            if asked.attempts and (asked.attempts[0].outputs is not None or asked.attempts[0].bad is not None):
                asked.attempts.insert(0, failed(canary, Role.CANARY, BadEvent.SERVER_ERROR, 0.0))


async def answer_by(
    asked: Asked,
    model: ServedModel,
    role: Role | None,
    time_s: float,
    compute: Callable[[Attempt, Stop | None], None] = Attempt.compute,
) -> Reply:
    """Answer a request by one version: on the event loop where that is quick, otherwise in the version's threads.

    Raises:
        RequestRefusedError: the body is malformed, or it took longer than `time_s`.
        SchemaError: its values are not what the version takes.
        FaultError: the version failed.
    """
    attempt = asked.understood_by(model, role)
    assert attempt.batch is not None
    rows = attempt.batch.rows
    model.stats.rows += rows
    asked.attempts.append(attempt)
    if rows <= model.inline_rows:
        compute(attempt, None)
        return attempt.reply()
    try:
        await model.bulkhead.run(partial(compute, attempt), model.make_stop(), time_s)
    except TimeoutError:
        asked.attempts[-1] = failed(model, role, BadEvent.TIMEOUT, time_s)
        raise RequestRefusedError(503, f"{rows} rows took longer than {time_s:g} s; send fewer at once") from None
    except BulkheadFullError:
        asked.attempts[-1] = failed(model, role, BadEvent.TIMEOUT, 0.0)
        raise RequestRefusedError(503, f"too many requests wait for model {model.ref.model}; try again") from None
    return attempt.reply()


async def answer_apart(asked: Asked, model: ServedModel, role: Role | None, time_s: float) -> Reply:
    """Answer a request by a version that may hang, all of it in the version's own threads.

    Raises:
        RequestRefusedError: the body is malformed, it took longer than `time_s`, or too many wait.
        SchemaError: its values are not what the version takes.
        FaultError: the version failed.
    """

    def compute(stop: Stop) -> tuple[Attempt, Reply]:
        attempt = asked.understood_by(model, role)
        attempt.compute(stop)
        return attempt, attempt.reply()

    try:
        attempt, reply = await model.bulkhead.run(compute, model.make_stop(), time_s)
    except TimeoutError:
        raise RequestRefusedError(
            503, f"version {model.version} of {model.ref.model} took longer than {time_s:g} s"
        ) from None
    except BulkheadFullError:
        raise RequestRefusedError(
            503, f"too many requests wait for version {model.version} of {model.ref.model}; try again"
        ) from None
    asked.attempts.append(attempt)
    return reply
