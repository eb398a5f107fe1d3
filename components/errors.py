"""The errors of Towpath, one tree; every error a user can meet is one sentence and carries its exit code.

TowpathError                      1  fault
├── BadInputError                 2  the user's input is wrong; nothing was changed
│   ├── ConfigError                  a configuration file or key
│   ├── SourceError                  a data source that is missing, unreadable or not as configured
│   ├── SchemaError                  a table or request whose columns or types are not as expected
│   ├── SuiteError                   an expectation suite that cannot be used
│   ├── UnknownNameError             a model, training, version or stage that does not exist
│   └── MissingExtraError            an optional dependency that is not installed
├── ConflictError                 3  somebody else was faster; nothing was changed
│   ├── StaleRevisionError           the slot moved on since it was read
│   └── AlreadyRunningError          the same work is going on elsewhere
├── RefusedError                  4  a gate said no; nothing was changed
│   ├── ValidationRefusedError       the data does not meet its suite
│   ├── GateRefusedError             a model does not pass its gates
│   └── ParityError                  an exported graph does not predict what its framework predicts
└── FaultError                    1  something broke
    ├── StageFailedError             a stage died without an error of its own
    ├── StageTimeoutError            a stage ran past its time-out and was killed
    ├── StageCancelledError          a stage was stopped by a signal; its state is resumable
    ├── RunInterruptedError       130   a person or a service stopped a run; the same command goes on
    ├── TrainingError                a framework failed while training or exporting
    ├── DigestMismatchError          bytes are not the bytes that were promised
    └── InfrastructureError          a server or a disk; the only kind that is retried
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Self

__all__ = [
    "AlreadyRunningError",
    "BadInputError",
    "ConfigError",
    "ConflictError",
    "DigestMismatchError",
    "FaultError",
    "GateRefusedError",
    "InfrastructureError",
    "MissingExtraError",
    "ParityError",
    "RefusedError",
    "RunInterruptedError",
    "SchemaError",
    "SourceError",
    "StageCancelledError",
    "StageFailedError",
    "StageTimeoutError",
    "StaleRevisionError",
    "SuiteError",
    "TowpathError",
    "TrainingError",
    "UnknownNameError",
    "ValidationRefusedError",
    "error_from_json",
    "error_to_json",
]


class TowpathError(Exception):
    """Carry one sentence for the user: what was wrong, where, what was expected, what to do."""

    exit_code: ClassVar[int] = 1


class BadInputError(TowpathError):
    """Say that the input is wrong and that everything was left as it was."""

    exit_code = 2


class ConfigError(BadInputError):
    """Name a configuration key by its full path, and the nearest valid name."""


class SourceError(BadInputError):
    """Name a data source that is missing, unreadable or not as configured."""


class SchemaError(BadInputError):
    """Name columns or types that are not as expected."""


class SuiteError(BadInputError):
    """Name what makes an expectation suite unusable."""


class UnknownNameError(BadInputError):
    """Name a model, training, version or stage that does not exist, and those that do."""


class MissingExtraError(BadInputError):
    """Name an optional dependency and the line that installs it."""

    @classmethod
    def of(cls, lacking: str, extra: str | None) -> Self:
        """Return the error for something that is not installed.

        Args:
            lacking: What needs what, and that it is not installed.
            extra: The extra in pyproject.toml that brings it; the lock holds them all. None: the project itself does.
        """
        if extra is None:
            return cls(f"{lacking}; install it with `make setup`")
        return cls(f"{lacking}; `make setup` installs it; in an environment of your own: pip install -e '.[{extra}]'")


class ConflictError(TowpathError):
    """Say that somebody else was faster and that nothing was changed."""

    exit_code = 3


class StaleRevisionError(ConflictError):
    """Name the revision that was expected and the one that is there."""


class AlreadyRunningError(ConflictError):
    """Name the process that is doing the same work."""


class RefusedError(TowpathError):
    """Say which gate refused, and why; nothing was changed."""

    exit_code = 4


class ValidationRefusedError(RefusedError):
    """Name the expectations that the data does not meet."""


class GateRefusedError(RefusedError):
    """Name the gates that a model does not pass."""


class ParityError(RefusedError):
    """Give the largest difference between an exported graph and its framework, and the bound."""


class FaultError(TowpathError):
    """Say that something broke that is not the user's input."""


class StageFailedError(FaultError):
    """Name a stage that died without an error of its own, its exit code and its log."""


class StageTimeoutError(FaultError):
    """Name a stage that ran past its time-out."""


class StageCancelledError(FaultError):
    """Name a stage that a signal stopped."""


class RunInterruptedError(FaultError):
    """Say that a run was stopped by a signal, and how to go on; the exit code is the shell's own for that."""

    exit_code = 130


class TrainingError(FaultError):
    """Name what a framework said when it failed."""


class DigestMismatchError(FaultError):
    """Give the digest that was promised and the one that was found."""


class InfrastructureError(FaultError):
    """Name a server or a disk that failed; the only kind of error that is retried."""


def _tree(root: type[TowpathError]) -> Iterator[type[TowpathError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def error_to_json(error: TowpathError) -> dict[str, str]:
    """Return the form in which an error crosses a process boundary (``error.json``)."""
    return {"kind": type(error).__name__, "message": str(error)}


def error_from_json(payload: dict[str, str]) -> TowpathError:
    """Return the error that `error_to_json` wrote; an unknown kind becomes a `FaultError`."""
    kinds = {kind.__name__: kind for kind in _tree(TowpathError)}
    return kinds.get(payload["kind"], FaultError)(payload["message"])
