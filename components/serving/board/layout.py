"""What one worker's row of a rollout holds: counts that add up over rows. Knows no file and no statistics."""

from __future__ import annotations

import numpy as np

from components.judge.latency import BINS
from components.types.judging import BadEvent
from components.types.release import Role

ROLES = (Role.STABLE, Role.CANARY, Role.SHADOW)
KINDS = tuple(BadEvent)
INDEX_OF_ROLE = {role: index for index, role in enumerate(ROLES)}
INDEX_OF_KIND = {kind: index for index, kind in enumerate(KINDS)}

SCORE_BINS = 34
"""Most bins of a population stability index, that for what is not finite included."""
SAMPLE = 512
"""So many of stable's scores a worker keeps for choosing the bins."""
ERROR_BINS = 768
"""Bins of absolute errors: 24 decades around 1, each 1/32 of a decade wide."""

ARM = np.dtype(
    [
        ("requests", np.int64),
        ("users", np.int64),
        ("labelled", np.int64),
        ("latest_ms", np.int64),  # of the wall clock
        ("bad", np.int64, len(KINDS)),  # at most one per user and kind
        ("latency", np.int64, BINS),
        ("scores", np.int64, SCORE_BINS),
    ]
)
PAIRS = np.dtype(
    [
        ("mirrored", np.int64),
        ("dropped", np.int64),
        ("differing", np.int64),
        ("labelled", np.int64),
        ("only_shadow", np.int64, len(KINDS)),  # at most one pair per user and kind
        ("only_stable", np.int64, len(KINDS)),
        ("both", np.int64, len(KINDS)),
    ]
)
ROW = np.dtype(
    [
        ("process", np.int64),  # who wrote last: a token of one process's life
        ("served_ms", np.int64),
        ("running", np.int64, len(ROLES)),  # predictions being computed, by role
        ("first_requests", np.int64),  # what the breaker looks at
        ("first_failures", np.int64),
        ("failures", np.int64, len(ROLES)),  # every one, not one per user
        ("arms", ARM, len(ROLES)),
        ("pairs", PAIRS),
        ("errors", np.int64, ERROR_BINS),  # stable's absolute errors
        ("sampled", np.int64),
        ("sample", np.float64, SAMPLE),
    ]
)
LAYOUT = 1
"""Part of a rollout's folder name: another layout never reads these files."""
