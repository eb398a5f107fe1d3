"""Whether a client of one version could talk to another: two signatures compared. Knows no server and no ledger.

The gateway asks for every input of a version by name, and refuses what it does not know. So an input may neither go
nor come, its type and shape must stay, and it may begin to allow missing values but not cease to; outputs stay as they
are, because the classes are the probabilities' order.
"""

from __future__ import annotations

from collections.abc import Iterator

from components.types.product import InputSpec, Signature


def incompatibilities(new: Signature, stable: Signature) -> tuple[str, ...]:
    """Return one sentence for each thing that would break a client of `stable`; empty when nothing would."""
    return tuple(_outputs(new, stable)) + tuple(_inputs(new, stable))


def _outputs(new: Signature, stable: Signature) -> Iterator[str]:
    if new.task is not stable.task:
        yield f"the task is {new.task.value}, it was {stable.task.value}"
    elif new.classes != stable.classes or _types(new) != _types(stable):
        yield (
            f"the classes are {_listed(new.classes)}, they were {_listed(stable.classes)}; "
            "the probabilities stand in their order"
        )


def _inputs(new: Signature, stable: Signature) -> Iterator[str]:
    there = {spec.name: spec for spec in new.inputs}
    known = {spec.name for spec in stable.inputs}
    for before in stable.inputs:
        if (after := there.get(before.name)) is None:
            yield f"input {before.name} is gone, so that requests which carry it are refused"
        else:
            yield from _input(after, before)
    for name in there:
        if name not in known:
            yield f"input {name} is new, so that requests without it are refused"


def _input(after: InputSpec, before: InputSpec) -> Iterator[str]:
    name = before.name
    if after.type is not before.type:
        yield f"input {name} is {after.type.value}, it was {before.type.value}"
    if after.shape != before.shape:
        yield f"input {name} has shape {list(after.shape)}, it had {list(before.shape)}"
    elif after.columns != before.columns:
        yield f"input {name} is made of other columns, or of the same in another order"
    if before.nullable and not after.nullable:
        yield f"input {name} may not be missing any more"


def _types(signature: Signature) -> tuple[type, ...]:
    """Return the classes' types: 1 and True are equal to Python, but not to a client."""
    return tuple(type(each) for each in signature.classes)


def _listed(classes: tuple[str | int | bool, ...]) -> str:
    return ", ".join(map(repr, classes)) or "none"
