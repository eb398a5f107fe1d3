"""SavedModels for tests, written by TensorFlow in a process of its own: ``python -m tests.saved_models FOLDER``.

Tests import no TensorFlow; they get the folder from the fixture `saved_models` and make products of what is in it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from components.runtime.savedmodel.names import input_key
from components.stage.files import tree_digest, write_json
from components.types.dataset import ColumnType, Task
from components.types.product import SAVED_MODEL_DIR, SIGNATURE_FILE, InputSpec, ProductRef, Signature

HANGS, ABORTS, SLOW, NOTHING = 1e6, -1e6, 7e5, 5e5
"""What the model `sum` does with numbers beyond these: it never ends, it takes its process with it, it takes a while,
and it answers with NaN."""


def plain(name: str, kind: ColumnType = ColumnType.FLOAT64, *, nullable: bool = False) -> InputSpec:
    return InputSpec(name, kind, (), nullable, (name,))


SUM = Signature(Task.REGRESSION, (plain("x"),), ())
TABLE = Signature(
    Task.BINARY,
    (
        plain("age", nullable=True),
        plain("city", ColumnType.STRING, nullable=True),
        plain("trips", ColumnType.INT64),
        plain("vip", ColumnType.BOOL),
    ),
    ("no", "yes"),
)
PIXELS = tuple(f"pixel_{row}_{column}" for row in range(2) for column in range(3))
IMAGE = Signature(Task.REGRESSION, (InputSpec("image", ColumnType.FLOAT64, (2, 3), False, PIXELS),), ())
CONTRACT = Signature(
    Task.BINARY,
    (
        plain("hours per week"),
        plain("age", nullable=True),
        plain("trips", ColumnType.INT64),
        plain("member", ColumnType.BOOL),
        plain("city", ColumnType.STRING),
        plain("job", ColumnType.STRING, nullable=True),
        InputSpec("image", ColumnType.FLOAT64, (1, 2), False, ("p0", "p1")),
    ),
    ("no", "yes"),
)
"""One input of every kind; the answer is yes where the hours exceed 40."""
SIGNATURES = {
    "contract": CONTRACT,
    "table": TABLE,
    "image": IMAGE,
    "flags": Signature(Task.BINARY, (plain("x"),), (False, True)),
    **{f"sum-{version}": SUM for version in (1, 2)},
}


def saved_product(saved_models: Path, name: str, into: Path, signature: Signature | None = None) -> ProductRef:
    """Return a product made of one of the SavedModels, in a folder that does not exist yet."""
    shutil.copytree(saved_models / name, into / SAVED_MODEL_DIR)
    write_json(into / SIGNATURE_FILE, signature or SIGNATURES[name])
    return ProductRef(into, tree_digest(into), "savedmodel")


def main(folder: Path) -> None:
    """Write them all."""
    import tensorflow as tf

    answers = {"contract": _contract, "table": _table, "image": _image, "flags": _flags}
    for name, signature in SIGNATURES.items():
        module = tf.Module()
        answer = answers[name](tf, module) if name in answers else _sum(tf, module, 1000.0 * int(name[-1]))
        serve = _served(tf, answer)
        specs = {
            input_key(each.name): tf.TensorSpec([None, *each.shape], each.type.value, name=input_key(each.name))
            for each in signature.inputs
        }
        module.serve = serve
        concrete = serve.get_concrete_function(**specs)
        tf.saved_model.save(module, str(folder / name), signatures={"serving_default": concrete})


def _served(tf: Any, answer: Any) -> Any:
    return tf.function(lambda **inputs: answer(inputs), autograph=False)


def _contract(tf: Any, _: Any) -> Any:
    def answer(inputs: Any) -> Any:
        index = tf.cast(inputs["hours_per_week"] > 40, tf.int64)
        return {
            "prediction": tf.gather(tf.constant(["no", "yes"]), index),
            "probabilities": tf.one_hot(index, 2, dtype=tf.float32),
        }

    return answer


def _table(tf: Any, module: Any) -> Any:
    """Answer as the fixture `table_product` does; the cities come from a file among the assets."""
    vocabulary = Path("cities.txt")
    vocabulary.write_text("Rome\nOslo\n")
    initializer = tf.lookup.TextFileInitializer(
        str(vocabulary), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    module.table = tf.lookup.StaticHashTable(initializer, default_value=-4)
    module.one = tf.Variable(1.0)

    def answer(inputs: Any) -> Any:
        age = tf.where(tf.math.is_nan(inputs["age"]), tf.zeros_like(inputs["age"]), inputs["age"])
        parts = (age, module.table.lookup(inputs["city"]), inputs["trips"], inputs["vip"])
        yes = tf.sigmoid(module.one + tf.add_n([tf.cast(part, tf.float32) for part in parts]))
        probabilities = tf.stack([module.one - yes, yes], axis=1)
        return {
            "prediction": tf.gather(tf.constant(["no", "yes"]), tf.argmax(probabilities, axis=1)),
            "probabilities": probabilities,
        }

    return answer


def _image(tf: Any, _: Any) -> Any:
    return lambda inputs: {"prediction": tf.reduce_sum(inputs["image"], axis=[1, 2])}


def _flags(tf: Any, _: Any) -> Any:
    def answer(inputs: Any) -> Any:
        yes = tf.cast(tf.sigmoid(inputs["x"]), tf.float32)
        return {"prediction": yes > 0.5, "probabilities": tf.stack([1 - yes, yes], axis=1)}

    return answer


def _sum(tf: Any, module: Any, offset: float) -> Any:
    module.offset = tf.Variable(offset, dtype=tf.float64)

    def abort() -> Any:
        with tf.control_dependencies([tf.raw_ops.Abort(error_msg="told to", exit_without_error=False)]):
            return tf.constant(0.0, tf.float64)

    def answer(inputs: Any) -> Any:
        x = inputs["x"]
        most, nothing = tf.reduce_max(x), tf.constant(0.0, tf.float64)
        few, many = tf.constant(100.0, tf.float64), tf.constant(1e300, tf.float64)
        rounds = tf.where(most > HANGS, many, tf.where(most > SLOW, few, nothing))
        matrix = tf.ones([400, 400], tf.float64)
        worked = tf.while_loop(
            lambda index, _: index < rounds,
            lambda index, total: (index + 1, total + 1e-300 * tf.reduce_sum(matrix @ (matrix * index))),
            (tf.constant(0.0, tf.float64), nothing),
        )[1]
        died = tf.cond(tf.reduce_min(x) < ABORTS, abort, lambda: nothing)
        nan = tf.where((x > NOTHING) & (x < SLOW), tf.constant(float("nan"), tf.float64), nothing)
        return {"prediction": x + module.offset + worked + died + nan}

    return answer


if __name__ == "__main__":
    import os
    import tempfile

    target = Path(sys.argv[1]).absolute()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        main(target)
