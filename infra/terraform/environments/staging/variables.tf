# What differs from project to project; write it to terraform.tfvars, which git ignores.
variable "project" {
  type        = string
  default     = "towpath"
  description = "Begins the name of everything."
}

variable "region" {
  type        = string
  description = "The region of AWS."
}

variable "account_id" {
  type        = string
  description = "The account of staging: with the credentials of another one, nothing happens."
}

variable "github_repository" {
  type        = string
  description = "OWNER/NAME of the repository whose workflows may take the role."
}

variable "github_oidc_provider_arn" {
  type        = string
  default     = null
  description = "GitHub's identity provider, where this account has it already."
}

variable "eks_cluster_arn" {
  type        = string
  description = "The cluster on EKS whose pods take the roles."
}

variable "kubernetes_namespace" {
  type        = string
  default     = "towpath-staging"
  description = "The namespace on EKS whose service accounts take the roles."
}

variable "vpc_id" {
  type        = string
  description = "The network that the database stands in."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Private subnets in at least two availability zones."
}

variable "client_security_group_ids" {
  type        = set(string)
  description = "The security groups whose members may reach the database."
}
