"""Which environments this installation looks after: all, unless each has a worker with credentials of its own."""

from __future__ import annotations

import os

from components.errors import ConfigError
from components.stage.config import nearest
from components.types.release import Environment

VARIABLE = "TOWPATH_OWN_ENVIRONMENTS"


def own_environments() -> tuple[str, ...]:
    """Return the names in ``TOWPATH_OWN_ENVIRONMENTS``, between commas; all environments where it is not set.

    Whoever looked after one whose servers it cannot reach would pause its rollouts.

    Raises:
        ConfigError: one of the names is none.
    """
    known = [each.value for each in Environment]
    named = tuple(filter(None, (each.strip() for each in os.environ.get(VARIABLE, "").split(","))))
    for name in named:
        if name not in known:
            raise ConfigError(f"{VARIABLE} names `{name}`{nearest(name, known)}; there are: {', '.join(known)}")
    return named or tuple(known)
