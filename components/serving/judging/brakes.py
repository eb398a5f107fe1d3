"""What sets a rollout's weight to 0: the judge, the breaker, a person. Counts only the canary's first requests."""

from __future__ import annotations

import logging
from collections.abc import Callable

from components.serving.board.ancestry import candidates
from components.serving.board.rollout_board import RolloutBoard
from components.serving.judging.evidence import alarm, breaker_sentence
from components.types.kill_switch import Killed
from components.types.release import JudgeSettings, TrafficSplit

log = logging.getLogger("towpath.gateway")


class Brakes:
    """Stop a rollout on all workers at once, and say why; nothing here starts it again."""

    def __init__(self, rollout: RolloutBoard, split: TrafficSplit, settings: JudgeSettings) -> None:
        self._rollout = rollout
        self._stops = rollout.stops
        self._split = split
        self._settings = settings
        self._watches_first = split.canary is not None
        if self._stops.is_stopped:
            log.warning("%s revision %d: its new version was stopped before; the weight is 0", split.model, split.rev)

    def judge(self) -> None:
        """Stop it if the counts of all workers together say so."""
        if not self._stops.is_stopped:
            sentence = alarm(self._rollout.rows, self._split, self._settings)
            if sentence is not None:
                self._stop(self._stops.raise_alarm, sentence)

    def watch_first(self, flush: Callable[[], None], *, failed: bool) -> None:
        """Count a canary request, and stop it if too many of the first ones failed.

        Args:
            flush: Tells the board what else this worker counted; the more is known of stable, the surer it is.
            failed: Whether this one did.
        """
        rows, own = self._rollout.rows, self._rollout.own
        if not self._watches_first or rows["first_requests"].sum() >= self._settings.breaker_requests:
            self._watches_first = False
            return
        own["first_requests"] += 1
        own["first_failures"] += failed
        if rows["first_failures"].sum() >= self._settings.breaker_failures and not self._stops.is_stopped:
            flush()
            if (sentence := breaker_sentence(rows, self._split, self._settings)) is not None:
                self.trip(sentence)

    def trip(self, sentence: str) -> None:
        """Stop it as the breaker does."""
        self._stop(self._stops.trip_breaker, sentence)

    def obey(self, killed: Killed | None) -> None:
        """Stop it if a person wants this revision or this version stopped, or if it was at an earlier revision."""
        model, rev = self._split.model, self._split.rev
        if self._rollout.inherit():
            log.warning("%s revision %d: its new version was stopped at an earlier one; the weight is 0", model, rev)
        if killed is not None and killed.holds(rev, candidates(self._split)) and not self._stops.is_killed:
            self._stops.kill()
            log.warning("%s revision %d: a person set the canary to 0 here", model, rev)

    def _stop(self, by: Callable[[str], bool], sentence: str) -> None:
        model, rev = self._split.model, self._split.rev
        try:
            if by(sentence):
                log.error("%s revision %d: %s; the weight is 0", model, rev, sentence)
        except OSError as error:  # the weight is 0 all the same
            log.error("%s revision %d: %s; this could not be kept: %s", model, rev, sentence, error)
