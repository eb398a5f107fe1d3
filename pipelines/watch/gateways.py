"""Whether a gateway serves an environment, or ever did, as far as this machine can tell. Asks no server."""

from __future__ import annotations

import os

from components.types.release import Environment
from pipelines.release.environment_config import ProcessTargetSection
from pipelines.release.environments import EnvironmentConfig


def is_served(env: EnvironmentConfig) -> bool:
    """Return whether silence in an environment means that something is wrong; only in `local` it may mean nothing.

    A run makes versions stable in `local` though nobody may ever serve from it. Into every other environment somebody
    brings what is to be served. A gateway leaves its board when it starts and its log when it is asked, and both
    outlive it: one that died is still one that served.
    """
    if env.name is not Environment.LOCAL or not isinstance(env.section.target, ProcessTargetSection):
        return True
    return bool(os.environ.get(env.gateway_variable)) or env.board_dir.exists() or env.log_dir.exists()
