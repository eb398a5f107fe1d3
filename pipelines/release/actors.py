"""Who acts in an environment: whoever holds a configured token, or on a laptop the user of this machine.

A token is compared by its digest, in constant time, and stands in no message. An actor is known by name: the author of
a version may not approve it, so the names in `actors` must be those that authors register under (``TOWPATH_ACTOR``).
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass

from components.errors import BadInputError, GateRefusedError
from pipelines.author import actor
from pipelines.release.environment_config import Right
from pipelines.release.environments import EnvironmentConfig

TOKEN_VARIABLE = "TOWPATH_TOKEN"  # noqa: S105 - the variable's name, not a token


@dataclass(frozen=True)
class Actor:
    """Somebody who acts."""

    name: str
    env: str
    may: frozenset[Right]
    verified: bool
    """Whether a token says so; otherwise the name is what this machine calls its user."""

    @property
    def sentence(self) -> str:
        """Who acts, to be said aloud."""
        if self.verified:
            return f"acting in {self.env} as {self.name}"
        return (
            f"acting in {self.env} as {self.name}, the user of this machine: no actors are configured there, so "
            "anybody who can use it may do anything"
        )

    def require(self, right: Right) -> None:
        """Check that the actor may do something.

        Raises:
            GateRefusedError: they may not.
        """
        if right not in self.may:
            raise GateRefusedError(
                f"{self.name} may not {right.value.replace('_', ' ')} in {self.env}; they may: "
                f"{', '.join(sorted(each.value for each in self.may))}. Ask somebody who may, or have "
                f"`{right.value}` added to `environment.actors.{self.name}.may`"
            )


def who(env: EnvironmentConfig, token: str | None = None) -> Actor:
    """Return who acts.

    Args:
        env: Where.
        token: What they hold; None, and only None, takes the variable ``TOWPATH_TOKEN``: who fills in a form must not
            act by the token of the process that shows it. Not looked at where no actors are configured.

    Raises:
        BadInputError: actors are configured and there is no token.
        GateRefusedError: the token is nobody's.
    """
    where = env.name.value
    if not env.section.actors:
        return Actor(actor(), where, frozenset(Right), verified=False)
    held = os.environ.get(TOKEN_VARIABLE, "") if token is None else token
    if not held:
        place = TOKEN_VARIABLE if token is None else "the form"
        raise BadInputError(f"{where} has actors, so acting there needs a token; put yours into {place}")
    digest = hashlib.sha256(held.encode()).hexdigest()
    found = [
        name
        for name, section in env.section.actors.items()
        if hmac.compare_digest(section.token_sha256, digest)  # all of them are compared, whichever it is
    ]
    if not found:
        raise GateRefusedError(
            f"the token is none of {where}'s actors; nothing was done: look whether {TOKEN_VARIABLE} holds the one for "
            f"{where}, or have its SHA-256 added to `environment.actors`"
        )
    return Actor(found[0], where, frozenset(env.section.actors[found[0]].may), verified=True)
