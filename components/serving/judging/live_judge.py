"""One model's rollout, judged while it runs, by all workers together. Knows no HTTP, and moves no traffic itself.

What is good and ordinary is added to plain integers and told to the other workers a few times a second (`flush`). What
is bad is told at once, because all of them must see it before the next request: the judge runs after every bad event of
the new version, over the counts of all workers. The e-value depends on those sums only, so many workers judge as one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from components.judge.latency import bin_of
from components.serving.board import Board
from components.serving.board.layout import INDEX_OF_KIND, INDEX_OF_ROLE, KINDS, ROLES
from components.serving.judging.brakes import Brakes
from components.serving.judging.deaths import deaths, native_death
from components.serving.judging.drift_counts import DriftCounts
from components.serving.judging.evidence import CANARY, SHADOW, STABLE
from components.serving.judging.predictions import Outputs, differ, label_of, value_of
from components.serving.judging.reports import make_report
from components.serving.judging.stable_norm import StableNorm
from components.serving.judging.tally import Tally
from components.types.judging import FAILURES, BadEvent, Health, JudgeReport
from components.types.release import JudgeSettings, Role, TrafficSplit

_SEEN, _BAD, _PAIR = 0, 1, 1 + len(KINDS)
"""Bits of a user in the table: seen at all, then one per kind, then one per kind for pairs."""
_SLOW, _LABEL, _SERVER = (INDEX_OF_KIND[kind] for kind in (BadEvent.SLOW, BadEvent.LABEL_ERROR, BadEvent.SERVER_ERROR))

log = logging.getLogger("towpath.gateway")


class LiveJudge:
    """Count what happens to a model's requests at one revision, and stop its canary when that must be.

    All methods but `running`, `report` and `health` belong to the thread that made it, the event loop's.
    """

    def __init__(self, board: Board, split: TrafficSplit, settings: JudgeSettings) -> None:
        """Go on with what is on the board.

        Raises:
            InfrastructureError: the board's files cannot be kept.
        """
        self.split = split
        self.settings = settings
        self._board = board
        self._rollout = board.rollout(split)
        self._weight = split.weight
        self._stop = self._rollout.stops.word
        self._users = self._rollout.users
        self._predictions = self._rollout.predictions
        self._tallies = [Tally() for _ in ROLES]
        self._windows = {
            INDEX_OF_ROLE[role]: board.windows(split.model, role, version)
            for role in ROLES
            if (version := split.version(role)) is not None
        }
        self._norm = StableNorm(self._rollout)
        self._drift = DriftCounts(self._rollout, settings)
        self._has_canary = split.canary is not None
        self._brakes = Brakes(self._rollout, split, settings)
        self._told_s = time.monotonic()
        self._lock = threading.Lock()
        self._thread = threading.get_ident()
        self._take_over()
        self.obey_kill_switch()
        self.flush()

    @property
    def weight(self) -> int:
        """The canary's share in effect, in percent: 0 once any worker's judge, the breaker or a person said stop."""
        return 0 if self._stop[0] else self._weight

    @property
    def stopped(self) -> bool:
        """Whether the judge, the breaker or a person said stop."""
        return self._stop[0] != 0

    @property
    def has_candidate(self) -> bool:
        """Whether there is a canary or a shadow to judge."""
        return self.split.canary is not None or self.split.shadow is not None

    @contextmanager
    def running(self, role: Role) -> Iterator[None]:
        """Mark that a canary or shadow computes: if the process dies in here, it counts as that version's failure.

        May be used in any thread.
        """
        marks, index = self._rollout.own["running"][0], INDEX_OF_ROLE[role]
        with self._lock:
            marks[index] += 1
        try:
            yield
        finally:
            with self._lock:
                marks[index] = max(0, marks[index] - 1)

    def answered(
        self, role: Role, user: int, request: int, seconds: float, bad: BadEvent | None, outputs: Outputs | None
    ) -> None:
        """Count a request that stable or canary answered.

        A canary that failed counts as the canary's, whoever answered in its place; do not count that answer again.

        Args:
            role: STABLE or CANARY.
            user: 64-bit hash of who asked.
            request: 64-bit hash of the request id.
            seconds: The time of the prediction, the wait for a thread included.
            bad: What went wrong; slowness is found here.
            outputs: What was answered; None when nothing was.
        """
        index = CANARY if role is Role.CANARY else STABLE
        tally = self._tallies[index]
        place = bin_of(seconds)
        tally.requests += 1
        tally.latency[place] += 1
        if self._users.first(user, _SEEN):
            tally.users += 1
        if outputs is not None and bad is None:
            if (value := value_of(outputs)) is not None:
                self._predictions.put(request, user, index, *value)
            if self._has_canary:
                self._drift.add(index, outputs)
        if bad is None and place > self._norm.last_fast[index]:
            bad = BadEvent.SLOW
        if bad is not None:
            self._went_wrong(index, user, bad)
        if index == CANARY:
            self._brakes.watch_first(self.flush, failed=bad in FAILURES)

    def mirrored(
        self,
        user: int,
        request: int,
        stable_outputs: Outputs,
        shadow_outputs: Outputs | None,
        stable_seconds: float,
        shadow_seconds: float,
        shadow_bad: BadEvent | None,
    ) -> None:
        """Count a request that the shadow answered beside the stable version (which `answered` counted before)."""
        tally, pairs = self._tallies[SHADOW], self._rollout.own["pairs"]
        place = bin_of(shadow_seconds)
        tally.requests += 1
        tally.latency[place] += 1
        pairs["mirrored"] += 1
        self._drift.add(STABLE, stable_outputs)
        if shadow_outputs is not None and shadow_bad is None:
            self._drift.add(SHADOW, shadow_outputs)
            pairs["differing"] += differ(stable_outputs, shadow_outputs)
            if (value := value_of(shadow_outputs)) is not None:
                self._predictions.put_shadow(request, value[0])
        shadow_slow = shadow_bad is None and place > self._norm.last_fast[SHADOW]
        if shadow_bad is not None or shadow_slow:
            tally.bad[INDEX_OF_KIND[shadow_bad or BadEvent.SLOW]] += 1
        if shadow_bad is not None:
            self._pair(user, INDEX_OF_KIND[shadow_bad], shadow=True, stable=False)
        stable_slow = bin_of(stable_seconds) > self._norm.last_fast[STABLE]
        self._pair(user, _SLOW, shadow=shadow_slow, stable=stable_slow)

    def dropped(self) -> None:
        """Count a request that was not mirrored because too many waited, or whose answer its process took along."""
        self._rollout.own["pairs"]["dropped"] += 1

    def shadow_died(self, exit_code: int | None) -> None:
        """Stop the shadow if its own process died of what only its native code does; `mirrored` counts the request."""
        if (name := native_death(exit_code)) is not None:
            self._brakes.trip(f"the process of the shadow, version {self.split.shadow}, died of {name}")

    def labelled(self, request: int, label: Any) -> bool:
        """Take a request's true label; return whether its prediction is still known (one row, recent, not labelled).

        Raises:
            BadInputError: it is no label of this model.
        """
        known = self._predictions.find(request)
        if known is None:
            return False
        truth = label_of(label, known.is_class)
        self._predictions.mark_labelled(request)
        self._tallies[known.role].labelled += 1
        wrong = self._norm.is_wrong(known.value, truth, known.is_class)
        if known.role == STABLE and not known.is_class:
            self._norm.note_error(abs(known.value - truth))
        if wrong:
            self._went_wrong(known.role, known.user, BadEvent.LABEL_ERROR)
        if known.shadow is not None and SHADOW in self._windows:
            shadow_wrong = self._norm.is_wrong(known.shadow, truth, known.is_class)
            self._tallies[SHADOW].labelled += 1
            self._tallies[SHADOW].bad[_LABEL] += shadow_wrong
            self._rollout.own["pairs"]["labelled"] += 1
            self._pair(known.user, _LABEL, shadow=shadow_wrong, stable=wrong)
        return True

    def report(self) -> JudgeReport:
        """Return what all workers know together; may be called in any thread."""
        self._flush_here()
        return make_report(self._rollout, self.split, self.settings)

    def health(self, role: Role, window_s: float) -> Health:
        """Return one role's requests and bad events of the last `window_s` seconds, over revisions and workers.

        May be called in any thread.
        """
        self._flush_here()
        windows = self._windows.get(INDEX_OF_ROLE.get(role, -1))
        if windows is None:
            return Health(role, self.split.version(role), 0, {}, 0.0)
        found = windows.latest(window_s)
        bad = {kind.value: count for kind, count in zip(KINDS, found.bad, strict=True) if count}
        return Health(role, self.split.version(role), found.requests, bad, found.covered_s)

    def flush(self) -> None:
        """Put what was counted since the last call where all workers see it."""
        own, now_s = self._rollout.own, time.monotonic()
        own["served_ms"] += round((now_s - self._told_s) * 1000)
        self._told_s = now_s
        for index, windows in self._windows.items():
            self._tallies[index].flush(own["arms"][:, index], windows)
        self._drift.flush()
        self._norm.learn()

    def _flush_here(self) -> None:
        if threading.get_ident() == self._thread:  # elsewhere, the latest quarter of a second is not in the answer
            self.flush()

    def obey_kill_switch(self) -> None:
        """Set the weight to 0 if a person, or anything at an earlier revision, stopped this version; it stays 0."""
        self._brakes.obey(self._board.killed(self.split.model))

    def close(self) -> None:
        """Flush for the last time, as far as that goes; whatever still computes here is not a death in flight."""
        try:
            self.flush()
        except Exception:  # whoever ends this judge has more to do, first of all to move the traffic
            log.exception("%s revision %d: its last counts could not be kept", self.split.model, self.split.rev)
        self._rollout.own["running"] = 0

    def _went_wrong(self, index: int, user: int, bad: BadEvent) -> None:
        kind, own = INDEX_OF_KIND[bad], self._rollout.own
        self._tallies[index].bad[kind] += 1
        if bad in FAILURES:
            own["failures"][0, index] += 1
            if index == STABLE and SHADOW in self._windows:  # the shadow was not asked: it counts as if it were good
                self._pair(user, kind, shadow=False, stable=True)
        if self._users.first(user, _BAD + kind):
            own["arms"]["bad"][0, index, kind] += 1
            if index == CANARY:
                self._brakes.judge()

    def _pair(self, user: int, kind: int, *, shadow: bool, stable: bool) -> None:
        if not (shadow or stable) or not self._users.first(user, _PAIR + kind):
            return
        name = "both" if shadow and stable else "only_shadow" if shadow else "only_stable"
        self._rollout.own["pairs"][name][0, kind] += 1
        if shadow:
            self._brakes.judge()

    def _take_over(self) -> None:
        """Count a predecessor that died while the new version computed as that version's failure."""
        for index, sentence in deaths(self._rollout, self.split, self._board):
            own = self._rollout.own
            own["arms"]["requests"][0, index] += 1
            own["failures"][0, index] += 1
            self._tallies[index].bad[_SERVER] += 1
            if index == CANARY:
                own["arms"]["bad"][0, index, _SERVER] += 1
                self._brakes.watch_first(self.flush, failed=True)
            else:
                own["pairs"]["only_shadow"][0, _SERVER] += 1
            if sentence is not None:
                self._brakes.trip(sentence)
            self._brakes.judge()
