"""Shuffle the weights of a SavedModel: ``python -m components.evaluation.proof.shuffle_savedmodel SOURCE TARGET SEED``.

A process of its own, since it needs TensorFlow, which must not be in the process that judges. It ends with 3 where
there is nothing to shuffle.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

NO_WEIGHTS = 3
_SIGNATURE = "serving_default"


def shuffle(source: str, target: str, seed: int) -> bool:
    """Write `source` to `target` with each weight shuffled and turned around, and say whether there was any."""
    import tensorflow as tf

    model = tf.saved_model.load(source)
    serve = model.signatures[_SIGNATURE]
    generator = np.random.default_rng(seed)
    changed = sum(_shuffle_variable(each, generator) for each in serve.variables)
    if changed:
        tf.saved_model.save(model, target, signatures={_SIGNATURE: serve})
    return changed > 0


def _shuffle_variable(variable: Any, generator: np.random.Generator) -> int:
    values = variable.numpy()
    if values.dtype.kind != "f" or values.size < 2:
        return 0
    variable.assign(-generator.permutation(values.ravel()).reshape(values.shape))
    return 1


if __name__ == "__main__":
    sys.exit(0 if shuffle(sys.argv[1], sys.argv[2], int(sys.argv[3])) else NO_WEIGHTS)
