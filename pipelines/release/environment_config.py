"""The sections of an environment's YAML file: where it keeps things, what serves, who may act. Opens nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from components.stage.config import HIDDEN_INPUT, Section
from components.types.release import Environment

_VARIABLE = r"^[A-Z_][A-Z0-9_]*$"
_NAME = r"^[a-z0-9_-]+$"

Variable = Annotated[str, Field(pattern=_VARIABLE)]
"""The name of an environment variable; what it holds never stands in a file."""


class Right(StrEnum):
    """What an actor may do in an environment."""

    PROMOTE = "promote"
    APPROVE = "approve"
    ROLL_BACK = "roll_back"


class ActorSection(Section):
    """Somebody who may act; known by a token that only they have."""

    token_sha256: str
    """SHA-256 of the token, in hex: ``printf %s "$TOKEN" | sha256sum``."""
    may: tuple[Right, ...] = Field(min_length=1)

    @field_validator("token_sha256")
    @classmethod
    def _is_a_digest(cls, value: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{64}", value):  # not repeated: it may be the token itself
            raise _problem("expected the SHA-256 of the token, 64 hex digits: printf %s TOKEN | sha256sum")
        return value


class ProcessTargetSection(Section):
    """A gateway on this machine."""

    kind: Literal["process"] = "process"
    workers: int = Field(default=1, ge=1, le=64)
    """Processes that share one port."""
    port: int = Field(default=8080, ge=0, le=65535)
    """The port to prefer; 0 takes a free one."""
    ready_s: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    """How long the workers may take to load a version."""
    log_rate: float = Field(default=1.0, ge=0, le=1)
    """The share of the requests that are logged as Parquet, with their inputs; 0 logs none."""
    log_file_s: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """How old a file of that log may become before it is closed; until then monitoring does not see its rows, and a
    machine that goes down takes them along."""


class KubernetesTargetSection(Section):
    """The gateway's pods in a cluster (infra/kubernetes); releases run in the same cluster's network."""

    kind: Literal["kubernetes"]
    namespace: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    most_pods: int = Field(default=5, ge=1, le=1000)
    """How many pods there may ever be: the autoscaler's `maxReplicas` and one for an update. Each judges alone, and
    together they are to stop a good release no more often than one would."""
    port: int = Field(default=8082, ge=1, le=65535)
    """Where a pod listens."""
    context: str | None = None
    """A context of the kubeconfig; null means the cluster in which the release runs."""
    ready_s: float = Field(default=90.0, gt=0, allow_inf_nan=False)
    """How long the pods may take to load a version."""


TargetSection = Annotated[ProcessTargetSection | KubernetesTargetSection, Field(discriminator="kind")]
"""Where traffic goes, by kind: this is the table of kinds."""


class TritonSection(Section):
    """A model repository in NVIDIA Triton's layout, renewed with every event."""

    kind: Literal["triton"] = "triton"
    name: str = Field(default="triton", pattern=_NAME)
    root: str = Field(min_length=1)
    """The repository's folder."""


class TensorFlowServingSection(Section):
    """A folder of SavedModel versions in TensorFlow Serving's layout."""

    kind: Literal["tensorflow_serving"] = "tensorflow_serving"
    name: str = Field(default="tensorflow_serving", pattern=_NAME)
    root: str = Field(min_length=1)


class WebhookSection(Section):
    """An address that is told of every event, signed."""

    kind: Literal["webhook"] = "webhook"
    name: str = Field(default="webhook", pattern=_NAME)
    url: str = Field(pattern=r"^https?://[^\s]+$")
    secret: Variable
    """The variable that holds what the notices are signed with."""


PublisherSection = Annotated[TritonSection | TensorFlowServingSection | WebhookSection, Field(discriminator="kind")]


class EnvironmentSection(Section):
    """One environment: everything has a default that works on a laptop without an account."""

    after: Environment | None = None
    """From which environment versions come; null for the first one, into which runs register."""
    plan: str = Field(min_length=1, pattern=_NAME)
    """The release plan in `pipelines/configs/plans` that holds unless another one is asked for."""
    plans: tuple[Annotated[str, Field(pattern=_NAME)], ...] = ()
    """Further plans that may be asked for. Where there are no actors, any plan may."""
    ledger: Variable | None = None
    """The variable with this environment's ledger URL; while it is unset, this machine's ledger."""
    registry: Variable | None = None
    """The variable with this environment's MLflow address; while it is unset, the common one."""
    target: TargetSection = ProcessTargetSection()
    publishers: tuple[PublisherSection, ...] = ()
    """What else is told where versions stand."""
    actors: Mapping[Annotated[str, Field(pattern=r"^\S+$")], ActorSection] = Field(default_factory=dict)
    """Who may act, by the name that versions carry as their author. Empty: whoever uses this machine."""

    @field_validator("target", mode="before")
    @classmethod
    def _is_a_process_unless_it_says_otherwise(cls, value: object) -> object:
        return {"kind": "process", **value} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _is_unambiguous(self) -> EnvironmentSection:
        if self.after is None and (self.ledger or self.registry):
            raise _problem(
                "the first environment is where runs register: it has this machine's ledger and MLflow "
                "(TOWPATH_LEDGER_URL, MLFLOW_TRACKING_URI); leave out `ledger` and `registry`"
            )
        names = [each.name for each in self.publishers]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise _problem(f"two publishers are called {repeated[0]}; give one of them another `name`")
        tokens = [each.token_sha256 for each in self.actors.values()]
        if len(set(tokens)) < len(tokens):
            raise _problem("two actors have the same token, so that nobody could tell them apart; give each one")
        return self


def _problem(words: str) -> PydanticCustomError:
    """Return an error that does not repeat what was found: the whole section, with digests of tokens in it."""
    return PydanticCustomError(HIDDEN_INPUT, "{words}", {"words": words})
