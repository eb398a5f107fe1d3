# Secrets: only their places. Values are put in by a person, so that they are in no state file.
locals {
  secrets = setunion(["ledger"], var.trains ? ["mlflow", "prefect"] : [], var.releases ? ["token", "gateway"] : [])
}

resource "aws_secretsmanager_secret" "this" {
  for_each                = local.secrets
  name                    = "${local.name}/${each.key}"
  description             = local.meaning[each.key]
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = 30
}

locals {
  meaning = {
    ledger  = "The URL of this environment's ledger, with its password"
    mlflow  = "The URL of MLflow's database, with its password"
    prefect = "The URL of Prefect's database, with its password"
    token   = "The token of whoever the release workflow acts for"
    gateway = "The token that the gateway asks for"
  }
}
