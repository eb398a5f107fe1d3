"""What a shadow makes of a request, wherever it computes. Knows no thread and no process."""

from __future__ import annotations

from components.errors import BadInputError
from components.runtime.protocol import Stop
from components.serving.asked import Asked, Attempt, bad_event
from components.serving.served_model import ServedModel
from components.types.judging import BadEvent
from components.types.release import Role


def understood(asked: Asked, stable: Attempt, shadow: ServedModel) -> Attempt:
    """Return a request as the shadow understands it, which is mostly as stable did.

    Raises:
        BadInputError: stable accepted it and the shadow refuses it: it breaks the contract.
    """
    if shadow.signature == stable.model.signature:
        return Attempt(shadow, Role.SHADOW, stable.batch, None)
    return asked.understood_by(shadow, Role.SHADOW)


def compute(attempt: Attempt, stop: Stop, time_limit_s: float) -> None:
    """Predict; whatever goes wrong is in the attempt afterwards."""
    try:
        attempt.compute_timed(stop)
    except BadInputError:
        attempt.bad = BadEvent.SERVER_ERROR
    except Exception as error:
        attempt.bad = bad_event(error)
    if stop.terminate or attempt.seconds > time_limit_s:
        attempt.bad, attempt.outputs = BadEvent.TIMEOUT, None
