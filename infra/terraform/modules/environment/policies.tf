# The rows of the table in roles.tf as policies. Nobody may delete an object, or lift a lock.
data "aws_iam_policy_document" "rights" {
  for_each = local.roles

  dynamic "statement" {
    for_each = each.value.writes
    content {
      sid       = "ReadAndWrite${title(statement.value)}"
      actions   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
      resources = ["${aws_s3_bucket.this[statement.value].arn}/*"]
    }
  }

  dynamic "statement" {
    for_each = each.value.writes
    content {
      sid       = "List${title(statement.value)}"
      actions   = ["s3:ListBucket", "s3:GetBucketLocation"]
      resources = [aws_s3_bucket.this[statement.value].arn]
    }
  }

  dynamic "statement" {
    for_each = each.value.appends
    content {
      sid       = "AppendTo${title(statement.value)}"
      actions   = ["s3:PutObject"]
      resources = ["${aws_s3_bucket.this[statement.value].arn}/*"]
    }
  }

  statement {
    sid       = "ReadSecrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [for name in each.value.secrets : aws_secretsmanager_secret.this[name].arn]
  }

  statement {
    sid       = "UseTheKeyForThese"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.this.arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = [for service in ["s3", "secretsmanager"] : "${service}.${data.aws_region.current.name}.${data.aws_partition.current.dns_suffix}"]
    }
  }
}

resource "aws_iam_role_policy" "this" {
  for_each = local.roles
  name     = "towpath"
  role     = aws_iam_role.this[each.key].name
  policy   = data.aws_iam_policy_document.rights[each.key].json
}
