"""From an environment's ledger to its gateway: the snapshot names what is to be served. Moves nothing."""

from __future__ import annotations

from components.types.release import ModelRoute, RouterSnapshot
from pipelines.release.apply import split_of
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.observe import stored_plan, subject_of


def write_snapshot(env: EnvironmentConfig) -> RouterSnapshot:
    """Write what an environment's gateway is to serve: every slot of its ledger; what is further already stays.

    Raises:
        DigestMismatchError: stored bytes were changed; the snapshot is as it was.
        InfrastructureError: the ledger cannot be reached, or the disk failed.
    """
    ledger = env.ledger()
    routes = {}
    for slot in ledger.slots():
        subject = subject_of(slot)
        if slot.env is not env.name or subject is None or not slot.rev:
            continue
        split = split_of(slot)
        placed = [env.place(ledger.version(slot.model, number).ref) for number in sorted(split.versions)]
        loaded = {str(each.ref.version): each for each in placed}
        judge = env.judge(stored_plan(env, slot, subject)[1])
        routes[slot.model] = ModelRoute(split, loaded, judge)
    return env.router().renew(routes)
