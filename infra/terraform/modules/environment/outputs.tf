# What the other tools are told: variables of GitHub's environment, DVC's remote, MLflow's artifacts, images.
output "github_variables" {
  description = "Variables of this environment at GitHub, as the workflows read them; none is a secret."
  value = merge(
    {
      AWS_REGION            = data.aws_region.current.name
      TOWPATH_LEDGER_SECRET = aws_secretsmanager_secret.this["ledger"].name
    },
    var.trains ? { AWS_TRAINING_ROLE = aws_iam_role.this["ci"].arn } : {},
    var.releases ? {
      AWS_RELEASE_ROLE     = aws_iam_role.this["ci"].arn
      TOWPATH_TOKEN_SECRET = aws_secretsmanager_secret.this["token"].name
    } : {},
  )
}

output "buckets" {
  description = "Purpose → bucket: data is DVC's remote, artifacts MLflow's, audit takes the ledger's exports."
  value       = { for purpose, bucket in aws_s3_bucket.this : purpose => bucket.bucket }
}

output "database_endpoint" {
  description = "HOST:PORT of PostgreSQL, reachable from the given security groups only."
  value       = aws_db_instance.this.endpoint
}

output "database_password_secret" {
  description = "The secret in which RDS keeps the password of its first user, who makes the databases."
  value       = one(aws_db_instance.this.master_user_secret[*].secret_arn)
}

output "secrets" {
  description = "Purpose → name of a secret whose value a person puts in."
  value       = { for purpose, secret in aws_secretsmanager_secret.this : purpose => secret.name }
}

output "images" {
  description = "Image → where it is pushed."
  value       = { for image, repository in aws_ecr_repository.this : image => repository.repository_url }
}

output "roles" {
  description = "Role → ARN: ci is GitHub's, the others are for pod identity associations of the same name."
  value       = { for role, made in aws_iam_role.this : role => made.arn }
}

output "github_oidc_provider_arn" {
  description = "GitHub's identity provider, for a second environment in the same account."
  value       = local.oidc_provider_arn
}
