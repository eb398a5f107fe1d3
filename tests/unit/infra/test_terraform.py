"""The Terraform files as they are written: whole, and with the promises that they make. Runs no terraform."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

hcl2 = pytest.importorskip("hcl2")

ROOT = Path(__file__).resolve().parents[3]
TERRAFORM = ROOT / "infra/terraform"
MODULE = "modules/environment"
ENVIRONMENTS = ("training", "staging", "production")
FOLDERS = (MODULE, *(f"environments/{name}" for name in ENVIRONMENTS))


def plain(value):
    """What python-hcl2 read, without its quotation marks, comments and marks of blocks."""
    if isinstance(value, dict):
        return {plain(key): plain(each) for key, each in value.items() if not key.startswith("__")}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value[1:-1] if isinstance(value, str) and value[:1] == value[-1:] == '"' else value


def parsed(folder):
    """All files of a folder as one: kind of block → list of blocks."""
    blocks = {}
    for path in sorted(folder.glob("*.tf")):
        for kind, found in plain(hcl2.loads(path.read_text())).items():
            blocks.setdefault(kind, []).extend(found)
    return blocks


def named(blocks, kind):
    """Blocks with one label (variable, output, module), or with two as TYPE.NAME (resource, data)."""
    found = {}
    for block in blocks.get(kind, []):
        for label, body in block.items():
            if kind in {"resource", "data"}:
                found.update({f"{label}.{name}": inner for name, inner in body.items()})
            else:
                found[label] = body
    return found


def texts(value):
    if isinstance(value, dict):
        return [each for inner in value.values() for each in texts(inner)]
    if isinstance(value, list):
        return [each for inner in value for each in texts(inner)]
    return [value] if isinstance(value, str) else []


def mentions(blocks, pattern):
    return {found for text in texts(blocks) for found in re.findall(pattern, text)}


def local_values(blocks):
    return {name: value for block in blocks.get("locals", []) for name, value in block.items()}


def missing_and_idle(folder):
    """Names that are read and not there, or there and never read, or not explained."""
    blocks, found = parsed(folder), []
    variables, outputs = named(blocks, "variable"), named(blocks, "output")
    for kind, there in (("var", set(variables)), ("local", set(local_values(blocks)))):
        read = mentions(blocks, rf"\b{kind}\.(\w+)")
        found += [f"{kind}.{name} is read and not declared" for name in read - there]
        found += [f"{kind}.{name} is declared and never read" for name in there - read]
    for name, body in {**variables, **outputs}.items():
        found += [f"{name} has no description"] if not body.get("description") else []
    found += [f"variable {name} has no type" for name, body in variables.items() if "type" not in body]
    resources = set(named(blocks, "resource"))
    found += [f"{name} is not there" for name in mentions(blocks, r"(?<!data\.)\b(aws_\w+\.\w+)\b") - resources]
    data = set(named(blocks, "data"))
    read = mentions(blocks, r"\bdata\.(aws_\w+\.\w+)\b")
    found += [f"data.{name} is read and not there, or there and never read" for name in read ^ data]
    return found


def careless_storage(blocks):
    """What a bucket, the database, an image's repository or a secret lacks."""
    found, resources = [], named(blocks, "resource")
    buckets = {name.partition(".")[2]: body for name, body in resources.items() if name.startswith("aws_s3_bucket.")}
    for name, body in buckets.items():
        beside = {
            kind: resources.get(f"aws_s3_bucket_{kind}.{name}", {})
            for kind in (
                "versioning",
                "object_lock_configuration",
                "public_access_block",
                "policy",
                "ownership_controls",
            )
        }
        crypt = resources.get(f"aws_s3_bucket_server_side_encryption_configuration.{name}", {})
        found += [
            f"{kind} of not every bucket" for kind, one in beside.items() if one.get("for_each") != body["for_each"]
        ]
        found += (
            ["a bucket without a lock"]
            if body.get("object_lock_enabled") != "true" and body.get("object_lock_enabled") is not True
            else []
        )
        found += ["a bucket that forgets"] if "Enabled" not in texts(beside["versioning"]) else []
        found += ["a lock without a term"] if not mentions(beside["object_lock_configuration"], r"lock\.days") else []
        found += ["a bucket in plain text"] if "aws:kms" not in texts(crypt) else []
        closed = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
        found += [f"{key} is off" for key in closed if not true(beside["public_access_block"].get(key))]
    database = resources["aws_db_instance.this"]
    wanted = dict.fromkeys(("storage_encrypted", "deletion_protection", "manage_master_user_password"), True)
    wanted |= dict.fromkeys(("publicly_accessible", "skip_final_snapshot", "delete_automated_backups"), False)
    found += [
        f"{key} of the database is not {value}" for key, value in wanted.items() if true(database.get(key)) is not value
    ]
    found += (
        ["backups are not kept"]
        if database.get("backup_retention_period") != "${var.database.backups_kept_days}"
        else []
    )
    found += (
        ["a value of a secret, which every state file would hold"]
        if mentions(list(resources), "secret_version")
        else []
    )
    found += ["a password in the files"] if "password" in database else []
    found += ["tags that move"] if resources["aws_ecr_repository.this"]["image_tag_mutability"] != "IMMUTABLE" else []
    return found


def true(value):
    return {"true": True, "false": False}.get(value, value)


def careless_rights(blocks):
    """Rights that reach further than one thing of this environment."""
    found, documents = [], named(blocks, "data")
    for name, body in documents.items():
        statements = list(body.get("statement", []))
        for dynamic in body.get("dynamic", []):
            statements += [content for inner in dynamic.values() for content in inner["content"]]
        for statement in statements:
            if statement.get("effect") == "Deny":
                continue
            actions, reach = statement.get("actions", []), statement.get("resources", [])
            found += [
                f"{name}: {action}" for action in actions if "*" in action or "Delete" in action or "Bypass" in action
            ]
            own = r"aws_(s3_bucket|secretsmanager_secret|kms_key)\.this"
            found += [f"{name}: {text}" for text in texts(reach) if not re.search(own, text) or "arn:" in text]
            who = [each for one in statement.get("principals", []) for each in texts(one["identifiers"])]
            found += [f"{name}: anybody" for each in who if each == "*"]
            found += [f"{name}: taken on no condition" for _ in who if not statement.get("condition")]
    return found + loose_pods(named(blocks, "data")["aws_iam_policy_document.taken_by_pods"])


def loose_pods(document):
    """By what the role of a pod is not held to one service account of one namespace of one cluster."""
    (statement,) = document["statement"]
    asked = {each["variable"]: each["values"] for each in statement["condition"] if each["test"] == "StringEquals"}
    wanted = {
        "eks-cluster-arn": "${var.eks_cluster_arn}",
        "kubernetes-namespace": "${var.kubernetes_namespace}",
        "kubernetes-service-account": "${each.key}",
    }
    return [
        f"taken_by_pods is not held to {tag}"
        for tag, value in wanted.items()
        if asked.get(f"aws:RequestTag/{tag}") != [value]
    ]


def findings(folder):
    blocks = parsed(folder / MODULE)
    found = [each for path in FOLDERS for each in missing_and_idle(folder / path)]
    found += careless_storage(blocks) + careless_rights(blocks)
    variables = named(blocks, "variable")
    for name in ENVIRONMENTS:
        own = parsed(folder / "environments" / name)
        call = named(own, "module")["environment"]
        given = set(call) - {"source"}
        needed = {key for key, body in variables.items() if "default" not in body}
        found += [f"{name} does not give {key}" for key in needed - given] + [
            f"{name} gives {key}" for key in given - set(variables)
        ]
        (terraform,) = own["terraform"]
        (backend,) = terraform["backend"]
        state = backend["s3"]
        found += [f"{name} has another's state"] if state.get("key") != f"towpath/{name}/terraform.tfstate" else []
        found += [f"{name}: two may write the state at once"] if not true(state.get("use_lockfile")) else []
        found += [f"{name} has another's name"] if call["environment"] != name else []
        provider = named(own, "provider")["aws"]
        found += (
            [f"{name} may be applied to another account"]
            if provider.get("allowed_account_ids") != ["${var.account_id}"]
            else []
        )
    return found


def test_nothing_is_missing_idle_or_careless():
    assert findings(TERRAFORM) == []


@pytest.mark.parametrize(
    ("path", "old", "new", "finding"),
    [
        ("buckets.tf", "object_lock_enabled = true", "object_lock_enabled = false", "a bucket without a lock"),
        ("buckets.tf", 'status = "Enabled"\n  }\n}', 'status = "Suspended"\n  }\n}', "a bucket that forgets"),
        ("buckets.tf", '"aws:kms"', '"AES256"', "a bucket in plain text"),
        (
            "buckets.tf",
            "block_public_policy     = true",
            "block_public_policy     = false",
            "block_public_policy is off",
        ),
        ("database.tf", "publicly_accessible    = false", "publicly_accessible    = true", "publicly_accessible of"),
        (
            "database.tf",
            "deletion_protection       = true",
            "deletion_protection       = false",
            "deletion_protection of",
        ),
        ("database.tf", "storage_encrypted     = true", "storage_encrypted     = false", "storage_encrypted of"),
        ("database.tf", "manage_master_user_password   = true", 'password = "x"', "a password in the files"),
        ("images.tf", '"IMMUTABLE"', '"MUTABLE"', "tags that move"),
        ("policies.tf", '["s3:PutObject"]', '["s3:*"]', "s3:*"),
        ("policies.tf", '"s3:AbortMultipartUpload"', '"s3:DeleteObject"', "s3:DeleteObject"),
        ("policies.tf", "[aws_kms_key.this.arn]", '["*"]', "rights: *"),
        ("roles.tf", "[local.oidc_provider_arn]", '["*"]', "anybody"),
        ("roles.tf", "var.github_repository", "var.github_repo", "var.github_repo is read"),
        ("roles.tf", "aws:RequestTag/eks-cluster-arn", "aws:RequestTag/eks-cluster", "not held to eks-cluster-arn"),
        ("outputs.tf", "aws_iam_role.this", "aws_iam_role.that", "aws_iam_role.that is not there"),
        ("../../environments/staging/main.tf", "towpath/staging", "towpath/production", "staging has another's state"),
        ("../../environments/staging/main.tf", "use_lockfile = true", "use_lockfile = false", "two may write"),
        ("../../environments/production/main.tf", "var.vpc_id", "var.vpc", "var.vpc is read"),
    ],
)
def test_what_breaks_a_promise_is_found(tmp_path, path, old, new, finding):
    copy = tmp_path / "terraform"
    shutil.copytree(TERRAFORM, copy, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    file = copy / MODULE / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    assert any(finding in each for each in findings(copy)), findings(copy)


def test_a_role_has_no_more_than_its_row():
    rows = local_values(parsed(TERRAFORM / MODULE))["rights"]
    assert all(set(row) == {"here", "writes", "appends", "secrets"} for row in rows.values())
    assert rows["gateway"] == {"here": "${var.releases}", "writes": [], "appends": [], "secrets": ["gateway"]}
    assert rows["mlflow"] == {"here": "${var.trains}", "writes": ["artifacts"], "appends": [], "secrets": ["mlflow"]}
    assert {name for row in rows.values() for name in row["appends"]} == {"audit"}
    services = {path.stem for path in (ROOT / "infra/docker").glob("*.Dockerfile")} - {"pipeline"}
    assert {name.removesuffix(".Dockerfile") for name in services} <= set(rows)


def test_workflows_find_the_role_and_the_secrets_that_are_made_for_them():
    made = parsed(TERRAFORM / MODULE)
    stated = set(re.findall(r"\b(AWS_[A-Z_]+|TOWPATH_[A-Z_]+)\b", str(named(made, "output")["github_variables"])))
    asked, environments = set(), set()
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        text = path.read_text()
        asked |= set(re.findall(r"vars\.((?:AWS|TOWPATH)_[A-Z_]+)", text))
        for job in yaml.safe_load(text)["jobs"].values():
            if isinstance(job.get("environment"), str):
                environments.add(job["environment"])
    assert asked == stated
    assert {each for each in environments if "${{" not in each} <= set(ENVIRONMENTS)
    release = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    choice = release[True]["workflow_dispatch"]["inputs"]["environment"]["options"]
    assert set(choice) == set(ENVIRONMENTS) - {"training"}
    (trust,) = named(made, "data")["aws_iam_policy_document.taken_by_github"]["statement"]
    conditions = {each["variable"].rpartition(":")[2]: (each["test"], each["values"]) for each in trust["condition"]}
    assert conditions["sub"] == ("StringEquals", ["repo:${var.github_repository}:environment:${var.environment}"])
    assert conditions["aud"] == ("StringEquals", ["sts.amazonaws.com"])


def test_environments_differ_only_in_what_they_hold():
    calls = {name: named(parsed(TERRAFORM / "environments" / name), "module")["environment"] for name in ENVIRONMENTS}
    for name, call in calls.items():
        assert (true(call["trains"]), true(call["releases"])) == (name == "training", name != "training")
    for call in calls.values():
        images = {path.name.partition(".")[0] for path in (ROOT / "infra/docker").glob("*.Dockerfile")}
        assert set(call["images"]) <= images
    assert {image for call in calls.values() for image in call["images"]} == {
        "gateway",
        "mlflow",
        "pipeline",
        "prefect",
    }


def test_git_never_takes_a_state_or_the_variables_of_somebody():
    for name in ("terraform.tfstate", "terraform.tfstate.backup", "terraform.tfvars", ".terraform/x", "saved.tfplan"):
        path = f"infra/terraform/environments/staging/{name}"
        ignored = subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT, check=False)
        assert ignored.returncode == 0, path


def test_the_page_names_every_folder_variable_and_output():
    page = (ROOT / "docs/cloud.md").read_text()
    blocks = parsed(TERRAFORM / MODULE)
    for name in (
        *ENVIRONMENTS,
        *named(blocks, "output"),
        *named(parsed(TERRAFORM / "environments/staging"), "variable"),
    ):
        assert f"`{name}`" in page, name
