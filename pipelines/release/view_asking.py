"""Ask a model's servers for whoever looks at a table: in bounded time, and no more often than needed."""

from __future__ import annotations

import time
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Thread

from components.errors import TowpathError
from components.release.guards import bake
from components.release.plan import ReleasePlan
from components.release.records import Slot
from components.release.rollout import Action, Hold
from components.release.states import on_its_way
from components.types.evaluation import Verdict
from components.types.release import Environment
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.observe import Observation, ask_target

ANSWER_S = 3.0
"""How long servers may take to answer somebody who looks at a table; a tick waits longer."""
ASK_AGAIN_S = 5.0
"""How long what they said is shown, if it is of the slot's revision."""

_OF_SERVERS = frozenset({"fresh_report", "judge", "mirrored", "drift", "requests", "time", "bad_events", bake.GATE})
"""The gates that rest on what servers say."""


class Asker:
    """Asks one environment's servers about one model; for one thread."""

    def __init__(self, env: EnvironmentConfig, model: str) -> None:
        """Take whom to ask, and about what; nothing is asked yet."""
        self.env = env
        self.model = model
        self._seen: Observation | None = None
        self._asked_at = 0.0

    def about(self, slot: Slot, plan: ReleasePlan) -> Observation | None:
        """Return what the servers say of a slot; None where nothing moves by itself, so that nobody need be asked."""
        watched = on_its_way(slot) is not None or slot.previous is not None
        if self.env.name is Environment.LOCAL or not watched:
            return None
        seen, age_s = self._seen, time.monotonic() - self._asked_at
        if seen is None or seen.served_rev != slot.rev or age_s >= ASK_AGAIN_S:
            self._seen = seen = self._ask(plan)
            self._asked_at = time.monotonic()
        return seen

    def _ask(self, plan: ReleasePlan) -> Observation:
        said: SimpleQueue[Observation] = SimpleQueue()
        # servers that hang keep this thread for as long as they like, and nobody waits for it
        Thread(target=lambda: said.put(self._observed(plan)), daemon=True).start()
        try:
            return said.get(timeout=ANSWER_S)
        except Empty:
            where = self.env.name.value
            words = f"the servers of {where} did not answer within {ANSWER_S:g} s; `towpath explain-release "
            return Observation(None, None, {}, f"{words}{self.model} --env {where}` waits longer")

    def _observed(self, plan: ReleasePlan) -> Observation:
        windows_s = (plan.bake.long_window_s, plan.bake.short_window_s)
        try:
            return ask_target(self.env.target(self.model, plan), windows_s)
        except TowpathError as error:  # whatever keeps it from being asked at all
            return Observation(None, None, {}, str(error))


def without_servers(action: Action, why: str) -> Action:
    """Return an action as it is told where servers said nothing: one sentence why, in place of each missing figure.

    Args:
        action: What was decided without their word.
        why: Why there is none.
    """
    if not isinstance(action, Hold):
        return action
    lacking = [each for each in action.verdicts if not each.passed and each.gate in _OF_SERVERS]
    if not lacking:
        return action
    kept = tuple(each for each in action.verdicts if each not in lacking)
    return replace(action, verdicts=(Verdict(lacking[0].gate, False, (why,)), *kept))
