# Where a version is tried before production: its own ledger, gateway and credentials.
terraform {
  required_version = ">= 1.11, < 2.0"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
  # the bucket is named at `terraform init -backend-config=bucket=NAME -backend-config=region=REGION`
  backend "s3" {
    key          = "towpath/staging/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]
  default_tags {
    tags = { project = var.project, environment = "staging", managed-by = "terraform" }
  }
}

module "environment" {
  source = "../../modules/environment"

  project     = var.project
  environment = "staging"
  trains      = false
  releases    = true
  images      = ["gateway", "pipeline"]

  github_repository         = var.github_repository
  github_oidc_provider_arn  = var.github_oidc_provider_arn
  eks_cluster_arn           = var.eks_cluster_arn
  kubernetes_namespace      = var.kubernetes_namespace
  vpc_id                    = var.vpc_id
  subnet_ids                = var.subnet_ids
  client_security_group_ids = var.client_security_group_ids
}

output "environment" {
  description = "What the other tools are told; see the module's outputs."
  value       = module.environment
}
