"""All three environments, applied by terraform and AWS's provider to moto's server, each with its state in S3."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

TERRAFORM = Path(__file__).resolve().parents[3] / "infra/terraform"
REGIONS = {"training": "eu-central-1", "staging": "eu-west-1", "production": "eu-north-1"}
"""One each, because moto gives every database of a region the same resource id, by which the provider reads it."""
ENVIRONMENTS = tuple(REGIONS)
ACCOUNT, STATE_REGION, STATE = "123456789012", "eu-central-1", "you-towpath-state"
PLUGINS_VARIABLE = "TOWPATH_TERRAFORM_PLUGINS"
USUAL_PLUGINS = Path("/opt/tf-plugins")


class Environments:
    """A copy of the files, and terraform run in it as an operator would, but for AWS's address and credentials."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "TF_"))}
        self.environment |= {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
            "TF_CLI_CONFIG_FILE": os.devnull,
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        }
        plugins = Path(os.environ.get(PLUGINS_VARIABLE, USUAL_PLUGINS))
        self._plugins = [f"-plugin-dir={plugins}"] if plugins.is_dir() else []

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["terraform", *arguments, "-no-color"]
        folder = self.folder / "environments" / name
        return subprocess.run(
            command, cwd=folder, env=self.environment, capture_output=True, text=True, timeout=300, check=False
        )

    def done(self, name: str, *arguments: str) -> str:
        found = self.run(name, *arguments)
        assert found.returncode == 0, (
            f"terraform {arguments[0]} of {name}: {found.stdout[-1500:]} {found.stderr[-3000:]}"
        )
        return found.stdout

    def initialise(self, name: str) -> None:
        backend = [f"-backend-config={key}={value}" for key, value in (("bucket", STATE), ("region", STATE_REGION))]
        found = self.run(name, "init", "-input=false", *backend, *self._plugins)
        if found.returncode:
            pytest.skip(
                f"the provider cannot be had: {' '.join(found.stderr.split())[:300]}; {PLUGINS_VARIABLE} names a folder"
            )

    def output(self, name: str) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(self.done(name, "output", "-json"))["environment"]["value"]
        return made

    def client(self, service: str, credentials: Mapping[str, str] | None = None, region: str = STATE_REGION) -> Any:
        import boto3

        keys = credentials or {"AccessKeyId": "testing", "SecretAccessKey": "testing", "SessionToken": ""}
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"] or None,
        )


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environments]:
    """Return the three environments, initialised in an account with a network and nothing else."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not on the path; the files are parsed only, by tests/unit/infra/test_terraform.py")
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        folder = tmp_path_factory.mktemp("terraform") / "terraform"
        shutil.copytree(TERRAFORM, folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars"))
        made = Environments(folder, f"http://{host}:{port}")
        _make_account(made)
        for name in ENVIRONMENTS:
            made.initialise(name)
        yield made
    finally:
        server.stop()


@pytest.fixture(scope="module")
def applied(environments: Environments) -> Environments:
    """Return them applied. Training makes GitHub's identity provider, and the two others are told of it."""
    arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"

    def apply(name: str) -> None:
        if name != "training":
            (environments.folder / "environments" / name / "oidc.auto.tfvars.json").write_text(
                json.dumps({"github_oidc_provider_arn": arn})
            )
        environments.done(name, "plan", "-input=false", "-out=saved.tfplan")
        environments.done(name, "apply", "-input=false", "saved.tfplan")

    with ThreadPoolExecutor(len(ENVIRONMENTS)) as pool:  # the provider mostly sleeps, waiting for a database
        list(pool.map(apply, ENVIRONMENTS))
    return environments


def _make_account(made: Environments) -> None:
    made.client("s3").create_bucket(Bucket=STATE, CreateBucketConfiguration={"LocationConstraint": STATE_REGION})
    for name, region in REGIONS.items():
        network = made.client("ec2", region=region)
        vpc = network.describe_vpcs()["Vpcs"][0]["VpcId"]
        subnets = [each["SubnetId"] for each in network.describe_subnets()["Subnets"]][:2]
        servers = network.create_security_group(GroupName="servers", Description="servers", VpcId=vpc)["GroupId"]
        told = {
            "region": region,
            "account_id": ACCOUNT,
            "github_repository": "you/project",
            "eks_cluster_arn": f"arn:aws:eks:{region}:{ACCOUNT}:cluster/models",
            "vpc_id": vpc,
            "subnet_ids": subnets,
            "client_security_group_ids": [servers],
        }
        (made.folder / "environments" / name / "terraform.tfvars.json").write_text(json.dumps(told))
