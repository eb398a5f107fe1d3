"""An environment as its YAML file says: its ledger, registry, store, gateway, publishers and plans. Moves nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import BadInputError, ConfigError, GateRefusedError, InfrastructureError, UnknownNameError
from components.release.ledger import Ledger
from components.release.plan import ReleasePlan, load_plan
from components.release.store import Store
from components.stage.config import check_section, nearest, read_yaml
from components.types.release import Environment, JudgeSettings, ModelRef, PlacedModel
from pipelines.release.environment_config import EnvironmentSection, KubernetesTargetSection
from pipelines.services.local import gateway_service
from pipelines.services.process import Service, find_service
from pipelines.state import ROUTER, STATE, STORE, ledger_url

if TYPE_CHECKING:
    from components.registry.registry import Registry
    from components.release.protocol import DeploymentTarget
    from components.release.publishers.protocol import Publisher
    from components.release.records import Event, Slot
    from components.release.router import RouterFile
    from components.release.targets.kubernetes_router import RouterConfigMap
    from pipelines.release.cluster import Cluster

ENVIRONMENTS_DIR = Path("pipelines/configs/environments")
GATEWAY_TOKEN_VARIABLE = "TOWPATH_GATEWAY_TOKEN"  # noqa: S105 - the variable's name, not a token


@dataclass(frozen=True)
class EnvironmentConfig:
    """One environment, opened where it is asked for; may be used from several threads."""

    name: Environment
    section: EnvironmentSection
    root: Path

    @property
    def plan_name(self) -> str:
        """The plan that holds unless another one is asked for."""
        return self.section.plan

    @property
    def source(self) -> Environment | None:
        """From which environment versions come; None for the first."""
        return self.section.after

    @property
    def folder(self) -> Path:
        """Where what this environment keeps on this machine stands."""
        state = self.root / STATE
        return state if self.name is Environment.LOCAL else state / "environments" / self.name.value

    @property
    def service(self) -> str:
        """The name under which its gateway is recorded."""
        return gateway_service(self.name)

    @property
    def ledger_url(self) -> str:
        """Where its ledger is; a secret where it carries a password."""
        return _variable(self.section.ledger) or ledger_url()

    @property
    def has_own_registry(self) -> bool:
        """Whether its versions are registered in an MLflow of its own."""
        return _variable(self.section.registry) is not None

    @property
    def alias_prefix(self) -> str:
        """What stands before its aliases: nothing where they cannot meet those of another environment."""
        return "" if self.name is Environment.LOCAL or self.has_own_registry else f"{self.name.value}-"

    def ledger(self) -> Ledger:
        """Return its ledger.

        Raises:
            ConfigError: the URL is none, or of a database that cannot hold a ledger.
            MissingExtraError: its driver is not installed.
        """
        return self._ledger

    def registry(self) -> Registry:
        """Return its registry; one of its own knows versions by the numbers that they had where they came from.

        Raises:
            ConfigError: the address is of a kind that is not supported.
        """
        return self._registry

    def store(self) -> Store:
        """Return its content-addressed store."""
        local = self.name is Environment.LOCAL
        return Store(self.root / STORE if local else self.folder / "store")

    @property
    def router_path(self) -> Path:
        """Where its gateway's snapshot stands."""
        return self.root / ROUTER if self.name is Environment.LOCAL else self.folder / "gateway" / ROUTER.name

    @property
    def board_dir(self) -> Path:
        """Where its gateway's workers keep what they share."""
        return self.router_path.parent / "board" if self.name is Environment.LOCAL else self.folder / "board"

    @property
    def log_dir(self) -> Path:
        """Where its predictions are logged."""
        return self.router_path.parent / "log" if self.name is Environment.LOCAL else self.folder / "log"

    def router(self) -> RouterFile | RouterConfigMap:
        """Return its gateway's snapshot; nothing is asked yet."""
        if self._cluster is not None:
            return self._cluster.router()
        from components.release.router import RouterFile

        return RouterFile(self.router_path)

    def gateway(self) -> Service | None:
        """Return its running gateway."""
        return find_service(self.service, self.root)

    @property
    def gateway_variable(self) -> str:
        """The environment variable that names its gateway's address, where that is elsewhere."""
        return f"TOWPATH_{self.name.value.upper()}_GATEWAY_URL"

    def gateway_url(self) -> str:
        """Return where its gateway answers: ``TOWPATH_<ENVIRONMENT>_GATEWAY_URL``, else this machine's own.

        Raises:
            InfrastructureError: it does not run.
        """
        if elsewhere := os.environ.get(self.gateway_variable):
            return elsewhere.rstrip("/")
        if (running := self.gateway()) is None:
            option = "" if self.name is Environment.LOCAL else f" --env {self.name.value}"
            raise InfrastructureError(
                f"no gateway runs for {self.name.value}; start it with `towpath serve --detach{option}`"
            )
        return running.url

    def place(self, ref: ModelRef) -> PlacedModel:
        """Return a version with its bytes in the store, checked now; what is not there is fetched from the registry.

        Raises:
            UnknownNameError: the version was never recorded here.
            DigestMismatchError: the bytes are not those that were promised.
            InfrastructureError: the registry cannot be reached.
        """
        recorded = self.ledger().version(ref.model, ref.version)
        if recorded.digest != ref.digest:
            raise BadInputError(
                f"version {ref.version} of {ref.model} is product {recorded.digest[:12]} in {self.name.value}, not "
                f"{ref.digest[:12]}; look the version up again"
            )
        if ref.digest not in self.store():
            from pipelines.release.carrying import fetch_product

            fetch_product(self.registry(), ref, self.store())
        return PlacedModel(ref, self.store().path(ref.digest).resolve(), recorded.runtime)

    def judge(self, plan: ReleasePlan) -> JudgeSettings:
        """Return what the judges beside this environment's traffic are told under a plan."""
        return plan.judge_settings if self._cluster is None else self._cluster.judge(plan.judge_settings)

    def target(self, model: str, plan: ReleasePlan | None = None) -> DeploymentTarget:
        """Return where a model's traffic goes.

        Args:
            model: The model.
            plan: The plan that its rollout runs under, for the judge in the gateway; None takes the environment's.

        Raises:
            UnknownNameError: there is no such plan.
        """
        judge = self.judge(plan or self.plan())
        if self._cluster is not None:
            return self._cluster.target(model, self.place, judge)
        from components.release.router import RouterFile
        from components.release.targets.process import ProcessTarget

        router, ready_s = RouterFile(self.router_path), self.section.target.ready_s
        return ProcessTarget(model, router, self.gateway_url, self.place, judge, self._gateway_token, ready_s)

    def plan(self, name: str | None = None) -> ReleasePlan:
        """Return a release plan, by default this environment's own.

        Raises:
            UnknownNameError: there is no such plan.
            ConfigError: something in it is wrong.
        """
        return load_plan(name or self.section.plan, self.root)

    def allowed_plan(self, name: str | None = None) -> ReleasePlan:
        """Return a plan that a release may be proposed under.

        Where actors are configured, a plan is a rule for them: who proposes may not choose another one, with fewer
        approvals or smaller counts, unless the file allows it.

        Raises:
            GateRefusedError: it is neither this environment's plan nor one of the further ones that its file allows.
            UnknownNameError: there is no such plan.
            ConfigError: something in it is wrong.
        """
        wanted = name or self.section.plan
        allowed = dict.fromkeys((self.section.plan, *self.section.plans))
        if self.section.actors and wanted not in allowed:
            raise GateRefusedError(
                f"plan `{wanted}` may not be used in {self.name.value}, where {', '.join(allowed)} may; another one is "
                f"allowed by adding it to `environment.plans` in {ENVIRONMENTS_DIR / self.name.value}.yaml"
            )
        return self.plan(wanted)

    def publisher_names(self) -> tuple[str, ...]:
        """Return the names of whatever else is told where versions stand."""
        return tuple(each.name for each in self.section.publishers)

    def publishers(self) -> Mapping[str, Publisher]:
        """Return whatever else is told where versions stand, by name.

        Raises:
            ConfigError: a secret's variable is not set.
        """
        from pipelines.release.publishing import open_publisher

        return {each.name: open_publisher(each, self.root) for each in self.section.publishers}

    def publish(self, name: str, slot: Slot, event: Event) -> None:
        """Tell one publisher what happened.

        Raises:
            UnknownNameError: the configuration has no such publisher any more.
            ConfigError: its secret's variable is not set.
            InfrastructureError: it cannot be reached.
        """
        from pipelines.release.publishing import publish

        section = next((each for each in self.section.publishers if each.name == name), None)
        if section is None:
            raise UnknownNameError(
                f"{self.name.value} has no publisher `{name}` any more; configured are: "
                f"{', '.join(self.publisher_names()) or 'none'}"
            )
        publish(self, section, slot, event)

    @property
    def _gateway_token(self) -> str | None:
        return os.environ.get(GATEWAY_TOKEN_VARIABLE) or None

    @cached_property
    def _cluster(self) -> Cluster | None:
        if not isinstance(self.section.target, KubernetesTargetSection):
            return None
        from pipelines.release.cluster import Cluster

        return Cluster(self.section.target, self._gateway_token)

    @cached_property
    def _ledger(self) -> Ledger:
        return Ledger(self.ledger_url)

    @cached_property
    def _registry(self) -> Registry:
        from pipelines.release.carrying import open_registry

        return open_registry(_variable(self.section.registry), self.root)


def load_environment(name: str, root: Path = Path()) -> EnvironmentConfig:
    """Return an environment by its name.

    Raises:
        UnknownNameError: there is no such environment.
        ConfigError: something in its file is wrong.
    """
    known = [each.value for each in Environment]
    if name not in known:
        raise UnknownNameError(f"no environment `{name}`{nearest(name, known)}; there are: {', '.join(known)}")
    path = root / ENVIRONMENTS_DIR / f"{name}.yaml"
    content = read_yaml(path)
    if set(content) != {"environment"}:
        raise ConfigError(f"{path}: expected one key `environment`, found {', '.join(map(str, content)) or 'nothing'}")
    section = check_section(content["environment"] or {}, EnvironmentSection, path, "environment")
    return EnvironmentConfig(Environment(name), section, root)


def load_source(env: EnvironmentConfig) -> EnvironmentConfig:
    """Return the environment from which versions come.

    Raises:
        BadInputError: it is the first one.
        ConfigError: something in its file is wrong.
    """
    if env.source is None:
        raise BadInputError(
            f"nothing is promoted to {env.name.value}: `towpath run MODEL` registers there; promote to the next one"
        )
    return load_environment(env.source.value, env.root)


def _variable(name: str | None) -> str | None:
    """Return what an environment variable holds; None where it is unset or empty, or where no variable is named."""
    return (os.environ.get(name) or None) if name else None
