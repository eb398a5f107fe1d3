"""The environments as an account would have them. AWS is moto's server: it keeps no network and runs no database."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.integration.terraform.conftest import ACCOUNT, ENVIRONMENTS, REGIONS, STATE, Environments

pytestmark = pytest.mark.slow

DATA, ARTIFACTS = "towpath-training-data", "towpath-training-artifacts"
WRITES = {("training", "ci"): {DATA}, ("training", "worker"): {DATA}, ("training", "mlflow"): {ARTIFACTS}}
APPENDS = {(name, "worker"): {f"towpath-{name}-audit"} for name in ENVIRONMENTS}
MOTO_FORGETS = {"aws_db_parameter_group", "aws_vpc_security_group_ingress_rule"}
"""moto never tells a parameter that somebody set, nor the description of a rule."""


def buckets(applied: Environments) -> list[str]:
    return [bucket for name in ENVIRONMENTS for bucket in applied.output(name)["buckets"].values()]


def documents(applied: Environments, role: str) -> tuple[Any, Any]:
    """What a role may do, and who may take it."""
    iam = applied.client("iam")
    rights = iam.get_role_policy(RoleName=role, PolicyName="towpath")["PolicyDocument"]["Statement"]
    return rights, iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]["Statement"]


def may(action: Any) -> bool:
    from botocore.exceptions import ClientError

    try:
        action()
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_files_are_valid(environments: Environments, name: str) -> None:
    environments.done(name, "validate")


def test_another_account_is_left_alone(environments: Environments) -> None:
    found = environments.run("production", "plan", "-input=false", "-lock=false", "-var=account_id=210987654321")
    assert found.returncode == 1
    assert "account" in found.stderr.lower()


def test_a_cluster_with_a_wildcard_is_refused(environments: Environments) -> None:
    wide = f"-var=eks_cluster_arn=arn:aws:eks:eu-central-1:{ACCOUNT}:cluster/*"
    found = environments.run("staging", "plan", "-input=false", "-lock=false", wide)
    assert found.returncode == 1
    assert "without a wildcard" in found.stderr


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_second_plan_changes_nothing(applied: Environments, name: str) -> None:
    applied.done(name, "plan", "-input=false", "-lock=false", "-out=again.tfplan")
    plan = json.loads(applied.done(name, "show", "-json", "again.tfplan"))
    changes = {each["type"] for each in plan["resource_changes"] if each["change"]["actions"] != ["no-op"]}
    assert changes <= MOTO_FORGETS


def test_every_environment_keeps_its_own_state(applied: Environments) -> None:
    s3 = applied.client("s3")
    keys = {each["Key"] for each in s3.list_objects_v2(Bucket=STATE)["Contents"]}
    assert keys == {f"towpath/{name}/terraform.tfstate" for name in ENVIRONMENTS}, "and no lock is left behind"
    for name in ENVIRONMENTS:
        state = s3.get_object(Bucket=STATE, Key=f"towpath/{name}/terraform.tfstate")["Body"].read().decode()
        assert f"towpath-{name}" in state
        assert not [other for other in ENVIRONMENTS if other != name and f"towpath-{other}" in state]


def test_a_bucket_answers_over_tls_alone(applied: Environments) -> None:
    s3 = applied.client("s3")
    assert len(buckets(applied)) == 5
    for bucket in buckets(applied):
        (statement,) = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
        assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert set(statement["Resource"]) == {f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"}


@pytest.fixture(scope="module")
def reachable(applied: Environments) -> Environments:
    """Return the environments without those policies: moto takes a refusal on a condition for one without."""
    s3 = applied.client("s3")
    for bucket in buckets(applied):
        s3.delete_bucket_policy(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="there", Body=b"")
    return applied


def test_a_bucket_keeps_what_it_was_given(reachable: Environments) -> None:
    s3 = reachable.client("s3")
    for bucket in buckets(reachable):
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        assert set(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()) == {True}
        crypt = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
        assert crypt["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
        lock = s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
        strict = bucket.startswith("towpath-production-audit")
        assert lock["Mode"] == ("COMPLIANCE" if strict else "GOVERNANCE")
        assert lock["Days"] == (2557 if strict else 365 if "-audit-" in bucket else 30)
        version = s3.put_object(Bucket=bucket, Key="kept", Body=b"bytes")["VersionId"]
        assert not may(lambda: s3.delete_object(Bucket=bucket, Key="kept", VersionId=version))  # noqa: B023
        s3.delete_object(Bucket=bucket, Key="kept")  # hides it, and takes nothing away
        assert s3.get_object(Bucket=bucket, Key="kept", VersionId=version)["Body"].read() == b"bytes"


def test_a_role_reaches_its_own_buckets_and_no_others(reachable: Environments) -> None:
    from moto.core.authorization import enable_iam_authentication

    roles = {(name, role): arn for name in ENVIRONMENTS for role, arn in reachable.output(name)["roles"].items()}
    sts, there = reachable.client("sts"), buckets(reachable)
    taken = {key: sts.assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"] for key, arn in roles.items()}
    with enable_iam_authentication():  # moto judges actions and S3's resources, no conditions
        for key, credentials in taken.items():
            s3 = reachable.client("s3", credentials)
            puts = {each for each in there if may(lambda: s3.put_object(Bucket=each, Key="k", Body=b""))}  # noqa: B023
            gets = {each for each in there if may(lambda: s3.get_object(Bucket=each, Key="there"))}  # noqa: B023
            deletes = {each for each in there if may(lambda: s3.delete_object(Bucket=each, Key="k"))}  # noqa: B023
            writes = {f"{each}-{ACCOUNT}" for each in WRITES.get(key, ())}
            appends = {f"{each}-{ACCOUNT}" for each in APPENDS.get(key, ())}
            assert (puts, gets, deletes) == (writes | appends, writes, set()), key


def test_every_right_is_to_one_thing_of_its_own_environment(applied: Environments) -> None:
    for name, region in REGIONS.items():
        aliases = applied.client("kms", region=region).list_aliases()["Aliases"]
        keys = {each["TargetKeyId"]: each["AliasName"] for each in aliases if "TargetKeyId" in each}
        for arn in applied.output(name)["roles"].values():
            rights, _ = documents(applied, arn.rpartition("/")[2])
            for statement in rights:
                reach = statement["Resource"]
                for each in [reach] if isinstance(reach, str) else reach:
                    thing = f":{keys.get(each.rpartition('/')[2], each)}"
                    assert re.search(rf"(:::|:secret:|:alias/)towpath-{name}($|[-/])", thing), (name, thing)


def test_a_role_is_taken_by_one_environment_of_one_repository_or_by_its_pod(applied: Environments) -> None:
    for name in ENVIRONMENTS:
        made = applied.output(name)
        for role, arn in made["roles"].items():
            _, trust = documents(applied, arn.rpartition("/")[2])
            (statement,) = trust if isinstance(trust, list) else [trust]
            asked = statement["Condition"]["StringEquals"]
            if role == "ci":
                assert statement["Principal"] == {"Federated": made["github_oidc_provider_arn"]}
                assert asked["token.actions.githubusercontent.com:sub"] == f"repo:you/project:environment:{name}"
                assert asked["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"
            else:
                cluster = f"arn:aws:eks:{REGIONS[name]}:{ACCOUNT}:cluster/models"
                assert asked["aws:RequestTag/eks-cluster-arn"] == cluster
                assert asked["aws:RequestTag/kubernetes-service-account"] == role
                assert asked["aws:RequestTag/kubernetes-namespace"] == f"towpath-{name}"


def test_the_database_is_closed_encrypted_and_kept(applied: Environments) -> None:
    for name, region in REGIONS.items():
        rds = applied.client("rds", region=region)
        (found,) = rds.describe_db_instances(DBInstanceIdentifier=f"towpath-{name}")["DBInstances"]
        assert (found["StorageEncrypted"], found["PubliclyAccessible"]) == (True, False)
        kept = (found["BackupRetentionPeriod"], found["MultiAZ"])
        assert kept == ((35, True) if name == "production" else (14, False))
        with pytest.raises(rds.exceptions.ClientError, match=r"(?i)deletion protection"):
            rds.delete_db_instance(DBInstanceIdentifier=f"towpath-{name}", SkipFinalSnapshot=True)


def test_what_the_workflows_read_is_there(applied: Environments) -> None:
    for name, region in REGIONS.items():
        secrets = applied.client("secretsmanager", region=region)
        variables = applied.output(name)["github_variables"]
        role = "AWS_TRAINING_ROLE" if name == "training" else "AWS_RELEASE_ROLE"
        assert (variables[role], variables["AWS_REGION"]) == (f"arn:aws:iam::{ACCOUNT}:role/towpath-{name}-ci", region)
        for variable in ("TOWPATH_LEDGER_SECRET", "TOWPATH_TOKEN_SECRET")[: 1 if name == "training" else 2]:
            secrets.describe_secret(SecretId=variables[variable])


def test_no_state_holds_a_password(applied: Environments) -> None:
    for name in ENVIRONMENTS:
        state = applied.client("s3").get_object(Bucket=STATE, Key=f"towpath/{name}/terraform.tfstate")["Body"].read()
        assert b'"secret_string"' not in state
        assert set(re.findall(rb'"password": ([^,\n]+)', state)) == {b"null"}
