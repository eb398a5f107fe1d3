"""What breaks a client of the stable version, change by change."""

from dataclasses import replace

import pytest

from components.types.dataset import ColumnType, Task
from components.types.product import InputSpec, Signature
from pipelines.release.contract import incompatibilities


def plain(name: str, kind: ColumnType = ColumnType.FLOAT64, *, nullable: bool = False) -> InputSpec:
    return InputSpec(name, kind, (), nullable, (name,))


IMAGE = InputSpec("image", ColumnType.FLOAT64, (1, 2), False, ("left", "right"))
STABLE = Signature(Task.BINARY, (plain("age", nullable=True), plain("city", ColumnType.STRING), IMAGE), ("no", "yes"))


def with_input(spec: InputSpec) -> Signature:
    return replace(STABLE, inputs=tuple(spec if each.name == spec.name else each for each in STABLE.inputs))


@pytest.mark.parametrize(
    "new",
    [
        STABLE,
        replace(STABLE, inputs=STABLE.inputs[::-1]),
        with_input(plain("city", ColumnType.STRING, nullable=True)),
    ],
    ids=["the same", "another order of inputs", "an input that may be missing now"],
)
def test_a_client_notices_nothing(new: Signature) -> None:
    assert incompatibilities(new, STABLE) == ()


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (replace(STABLE, inputs=STABLE.inputs[1:]), "input age is gone"),
        (replace(STABLE, inputs=(*STABLE.inputs, plain("height"))), "input height is new"),
        (replace(STABLE, inputs=(*STABLE.inputs, plain("height", nullable=True))), "input height is new"),
        (with_input(plain("age", ColumnType.INT64, nullable=True)), "input age is int64, it was float64"),
        (with_input(plain("age")), "input age may not be missing any more"),
        (with_input(replace(IMAGE, shape=(2, 1))), r"input image has shape [2, 1], it had [1, 2]"),
        (with_input(replace(IMAGE, columns=("right", "left"))), "in another order"),
        (replace(STABLE, classes=("yes", "no")), "the classes are 'yes', 'no', they were 'no', 'yes'"),
        (replace(STABLE, classes=("no", "yes", "maybe")), "the classes are"),
        (replace(STABLE, task=Task.REGRESSION, classes=()), "the task is regression, it was binary"),
    ],
)
def test_a_client_would_break(new: Signature, reason: str) -> None:
    (found,) = incompatibilities(new, STABLE)
    assert reason in found


def test_equal_classes_of_other_types_are_other_classes() -> None:
    numbers, flags = replace(STABLE, classes=(0, 1)), replace(STABLE, classes=(False, True))
    assert incompatibilities(flags, numbers)


def test_every_reason_is_named() -> None:
    new = Signature(Task.REGRESSION, (plain("height"),), ())
    assert len(incompatibilities(new, STABLE)) == 5
