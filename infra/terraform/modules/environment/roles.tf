# Who may do what. The table is all of it: a role is given what stands in its row, of this environment, and nothing else.
locals {
  rights = {
    ci      = { here = true, writes = var.trains ? ["data"] : [], appends = [], secrets = var.releases ? ["ledger", "token"] : ["ledger"] }
    worker  = { here = true, writes = var.trains ? ["data"] : [], appends = ["audit"], secrets = var.releases ? ["ledger", "gateway"] : ["ledger"] }
    mlflow  = { here = var.trains, writes = ["artifacts"], appends = [], secrets = ["mlflow"] }
    prefect = { here = var.trains, writes = [], appends = [], secrets = ["prefect"] }
    gateway = { here = var.releases, writes = [], appends = [], secrets = ["gateway"] }
  }
  roles = { for role, row in local.rights : role => row if row.here }

  oidc_host         = "token.actions.githubusercontent.com"
  oidc_provider_arn = coalesce(var.github_oidc_provider_arn, one(aws_iam_openid_connect_provider.github[*].arn))
}

resource "aws_iam_openid_connect_provider" "github" {
  count          = var.github_oidc_provider_arn == null ? 1 : 0
  url            = "https://${local.oidc_host}"
  client_id_list = ["sts.amazonaws.com"]
}

# GitHub's workflows take a role for an hour (four where they ask for it), from one environment of one repository.
data "aws_iam_policy_document" "taken_by_github" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [local.oidc_provider_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.oidc_host}:aud"
      values   = ["sts.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.oidc_host}:sub"
      values   = ["repo:${var.github_repository}:environment:${var.environment}"]
    }
  }
}

# A pod of the named cluster takes the role of its service account, which is called as the role is. EKS states cluster,
# namespace and account as tags of the session (EKS user guide, "Enable or disable session tags"): leave them enabled.
data "aws_iam_policy_document" "taken_by_pods" {
  for_each = setsubtract(keys(local.roles), ["ci"])
  statement {
    actions = ["sts:AssumeRole", "sts:TagSession"]
    principals {
      type        = "Service"
      identifiers = ["pods.eks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/eks-cluster-arn"
      values   = [var.eks_cluster_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/kubernetes-namespace"
      values   = [var.kubernetes_namespace]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/kubernetes-service-account"
      values   = [each.key]
    }
  }
}

resource "aws_iam_role" "this" {
  for_each             = local.roles
  name                 = "${local.name}-${each.key}"
  description          = "Towpath, ${var.environment}: ${each.key}"
  assume_role_policy   = each.key == "ci" ? data.aws_iam_policy_document.taken_by_github.json : data.aws_iam_policy_document.taken_by_pods[each.key].json
  max_session_duration = each.key == "ci" ? 14400 : 3600
}
