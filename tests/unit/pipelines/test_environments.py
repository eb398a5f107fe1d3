"""Environments as their files say: what ships is in order, a typo is answered, secrets stay out of messages."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from components.errors import BadInputError, ConfigError, GateRefusedError, InfrastructureError, UnknownNameError
from components.types.release import Environment
from pipelines.release.actors import who
from pipelines.release.environment_check import environment_problems, environment_schema
from pipelines.release.environment_config import EnvironmentSection, Right
from pipelines.release.environments import ENVIRONMENTS_DIR, load_environment, load_source

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "a-token-of-bob"
SHA256 = hashlib.sha256(TOKEN.encode()).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with the shipped environments and plans."""
    for folder in ("environments", "plans"):
        target = tmp_path / "pipelines/configs" / folder
        target.mkdir(parents=True)
        for path in (ROOT / "pipelines/configs" / folder).glob("*.yaml"):
            (target / path.name).write_text(path.read_text())
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / ENVIRONMENTS_DIR / f"{name}.yaml").write_text(text)


@pytest.mark.parametrize("name", [each.value for each in Environment])
def test_what_ships_works_on_a_laptop_without_an_account(name: str) -> None:
    text = (ROOT / ENVIRONMENTS_DIR / f"{name}.yaml").read_text()
    env = load_environment(name, ROOT)
    assert len(text.splitlines()) <= 15
    assert env.plan().confirm_s > 0
    assert not who(env).verified


def test_what_ships_is_in_order() -> None:
    assert environment_problems(ROOT) == []


def test_versions_come_from_the_environment_before(root: Path) -> None:
    assert load_source(load_environment("staging", root)).name is Environment.LOCAL
    assert load_source(load_environment("production", root)).name is Environment.STAGING
    with pytest.raises(BadInputError, match="nothing is promoted to local"):
        load_source(load_environment("local", root))


def test_environments_keep_their_bytes_and_snapshots_apart(root: Path) -> None:
    envs = [load_environment(each.value, root) for each in Environment]
    for attribute in ("router_path", "board_dir", "log_dir", "service", "alias_prefix"):
        assert len({getattr(each, attribute) for each in envs}) == 3, attribute
    assert len({each.store().root for each in envs}) == 3
    assert envs[0].store().root == root / ".towpath/store"
    assert envs[1].store().root == root / ".towpath/environments/staging/store"


def test_a_ledger_of_its_own_is_named_by_a_variable(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = load_environment("local", root).ledger_url
    assert load_environment("production", root).ledger_url == shared
    monkeypatch.setenv("TOWPATH_PRODUCTION_LEDGER_URL", "sqlite:////elsewhere/ledger.db")
    assert load_environment("production", root).ledger_url == "sqlite:////elsewhere/ledger.db"
    assert load_environment("staging", root).ledger_url == shared


def test_aliases_need_no_prefix_in_a_registry_of_its_own(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_environment("production", root).alias_prefix == "production-"
    monkeypatch.setenv("TOWPATH_PRODUCTION_MLFLOW_URI", "http://127.0.0.1:1")
    assert load_environment("production", root).alias_prefix == ""


def test_an_unknown_environment_is_answered_with_the_nearest_name(root: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean `production`.*local, staging, production"):
        load_environment("produktion", root)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("environment: {plan: demo, targt: {}}", r"unknown key `environment.targt` \(did you mean `target`\?\)"),
        (
            "environment: {plan: demo, target: {worker: 2}}",
            r"environment.target.process.worker` \(did you mean `workers`\?\)",
        ),
        ("environment: {plan: demo, publishers: [{kind: tritn, root: x}]}", "environment.publishers"),
        (
            "environment: {plan: demo, publishers: [{kind: webhook, url: https://x.example, secrt: A}]}",
            r"did you mean `secret`",
        ),
        (
            "environment: {plan: demo, publishers: [{kind: webhook, url: 'file:///x', secret: A}]}",
            "publishers",
        ),
        ("environment: {plan: demo, ledger: 'sqlite:///x.db'}", "environment.ledger"),
        ("environment: {plan: demo, target: {workers: 0}}", "environment.target.process.workers"),
        ("environment: {}", "key `environment.plan`"),
        ("environmnt: {}", "expected one key `environment`, found environmnt"),
        ("environment: {plan: demo, publishers: [{kind: triton, root: a}, {kind: triton, root: b}]}", "two publishers"),
    ],
)
def test_a_mistake_is_answered_by_its_full_path(root: Path, text: str, answer: str) -> None:
    write(root, "staging", text)
    with pytest.raises(ConfigError, match=answer):
        load_environment("staging", root)


def test_the_first_environment_has_no_ledger_of_its_own(root: Path) -> None:
    write(root, "local", "environment: {plan: laptop, ledger: SOME_URL}")
    with pytest.raises(ConfigError, match="leave out `ledger` and `registry`"):
        load_environment("local", root)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("production", "environment: {after: local, plan: default}", "`environment.after` is local, expected staging"),
        ("local", "environment: {after: staging, plan: laptop}", "`environment.after` is staging, expected null"),
        ("staging", "environment: {after: local, plan: stageing}", "did you mean `staging`"),
        ("staging", "environment: {after: local}", "environment.plan"),
        (
            "production",
            "environment: {after: staging, plan: default, "
            f"actors: {{bob: {{token_sha256: {SHA256}, may: [promote]}}}}}}",
            "asks for 1 approvals, and nobody may approve",
        ),
    ],
)
def test_what_cannot_work_is_found_by_the_check(root: Path, name: str, text: str, problem: str) -> None:
    assert environment_problems(root) == []
    write(root, name, text)
    assert [each for each in environment_problems(root) if problem in each]


def test_a_file_of_no_environment_is_found_by_the_check(root: Path) -> None:
    write(root, "qa", "environment: {plan: demo}")
    assert any("qa.yaml is of no environment" in each for each in environment_problems(root))


def test_the_schema_names_every_key_and_holds_what_it_refers_to() -> None:
    schema = environment_schema()
    assert set(schema["properties"]["environment"]["properties"]) == set(EnvironmentSection.model_fields)
    referred = set(re.findall(r"#/\$defs/(\w+)", json.dumps(schema)))
    assert referred == set(schema["$defs"])


def with_actors(root: Path, may: str = "promote, approve", plans: str = "") -> None:
    other = hashlib.sha256(b"another").hexdigest()
    actors = f"{{eve: {{token_sha256: {other}, may: [approve]}}, bob: {{token_sha256: {SHA256}, may: [{may}]}}}}"
    write(root, "production", f"environment: {{after: staging, plan: default, plans: [{plans}], actors: {actors}}}")


def test_who_proposes_cannot_choose_a_plan_that_the_environment_does_not_allow(root: Path) -> None:
    with_actors(root)
    env = load_environment("production", root)
    for name in (None, "default"):
        assert env.allowed_plan(name) == env.plan()
    with pytest.raises(GateRefusedError, match=r"plan `laptop` may not be used in production, where default may"):
        env.allowed_plan("laptop")
    with_actors(root, plans="laptop")
    allowing = load_environment("production", root)
    assert allowing.allowed_plan("laptop") == allowing.plan("laptop")
    with pytest.raises(GateRefusedError, match="where default, laptop may"):
        allowing.allowed_plan("demo")


def test_where_nobody_has_to_agree_any_plan_may_be_used(root: Path) -> None:
    env = load_environment("production", root)
    assert env.allowed_plan("laptop") == env.plan("laptop")
    with pytest.raises(UnknownNameError, match="did you mean `laptop`"):
        env.allowed_plan("labtop")


def test_further_plans_ask_for_as_many_approvals_where_there_are_actors(root: Path) -> None:
    with_actors(root, plans="laptop, defalt")
    problems = environment_problems(root)
    assert [each for each in problems if "key `environment.plans`" in each and "did you mean `default`" in each]
    assert [each for each in problems if "plan `laptop` asks for 0 approvals and `default` for 1" in each]
    write(root, "production", "environment: {after: staging, plan: default, plans: [laptop]}")
    assert environment_problems(root) == []


def test_a_token_says_who_acts_and_what_they_may(root: Path) -> None:
    with_actors(root)
    actor = who(load_environment("production", root), TOKEN)
    assert (actor.name, actor.verified, actor.may) == ("bob", True, {Right.PROMOTE, Right.APPROVE})
    actor.require(Right.APPROVE)
    with pytest.raises(GateRefusedError, match=r"bob may not roll back in production.*approve, promote"):
        actor.require(Right.ROLL_BACK)


def test_the_token_comes_from_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_actors(root)
    monkeypatch.setenv("TOWPATH_TOKEN", TOKEN)
    assert who(load_environment("production", root)).name == "bob"


def test_where_actors_are_configured_nobody_acts_without_a_token(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_actors(root)
    monkeypatch.delenv("TOWPATH_TOKEN", raising=False)
    with pytest.raises(BadInputError, match="needs a token; put yours into TOWPATH_TOKEN"):
        who(load_environment("production", root))


def test_a_token_that_nobody_has_is_refused_and_not_repeated(root: Path) -> None:
    with_actors(root)
    with pytest.raises(GateRefusedError) as refused:
        who(load_environment("production", root), "guessed-token")
    assert "guessed" not in str(refused.value)
    assert hashlib.sha256(b"guessed-token").hexdigest() not in str(refused.value)


def test_a_digest_of_a_token_is_not_the_token(root: Path) -> None:
    with_actors(root)
    with pytest.raises(GateRefusedError):
        who(load_environment("production", root), SHA256)


def test_a_token_in_place_of_its_digest_is_not_repeated(root: Path) -> None:
    write(
        root,
        "production",
        f"environment: {{after: staging, plan: default, actors: {{bob: {{token_sha256: {TOKEN}, may: [promote]}}}}}}",
    )
    with pytest.raises(ConfigError) as refused:
        load_environment("production", root)
    assert "environment.actors.bob.token_sha256" in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_two_actors_cannot_share_a_token(root: Path) -> None:
    actors = ", ".join(f"{name}: {{token_sha256: {SHA256}, may: [approve]}}" for name in ("bob", "eve"))
    write(root, "production", f"environment: {{after: staging, plan: default, actors: {{{actors}}}}}")
    with pytest.raises(ConfigError, match="same token") as refused:
        load_environment("production", root)
    assert SHA256 not in str(refused.value)


def test_without_actors_it_is_the_user_of_the_machine_and_said_aloud(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOWPATH_ACTOR", "ada")
    actor = who(load_environment("staging", root))
    assert (actor.name, actor.may) == ("ada", set(Right))
    assert "acting in staging as ada" in actor.sentence
    assert "no actors are configured" in actor.sentence


def test_a_gateway_that_does_not_run_is_named_with_what_starts_it(root: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"towpath serve --detach --env staging"):
        load_environment("staging", root).gateway_url()
