# What an environment may be told. What has no default differs from project to project.
variable "project" {
  type        = string
  default     = "towpath"
  description = "Begins the name of everything; two projects in one account take different ones."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}$", var.project))
    error_message = "project: lower-case letters, digits and hyphens, at most 21: it becomes part of bucket names."
  }
}

variable "environment" {
  type        = string
  description = "training, staging or production: the environment of GitHub that may take the role, too."
  validation {
    condition     = contains(["training", "staging", "production"], var.environment)
    error_message = "environment: training, staging or production."
  }
}

variable "trains" {
  type        = bool
  description = "Whether models are trained here: data, MLflow's artifacts, and who writes them."
}

variable "releases" {
  type        = bool
  description = "Whether versions are released to here and served."
}

variable "images" {
  type        = set(string)
  description = "The images that run here; each has a repository of its own in ECR."
}

variable "github_repository" {
  type        = string
  description = "OWNER/NAME of the repository whose workflows may take the role."
  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "github_repository: OWNER/NAME, without a wildcard."
  }
}

variable "github_oidc_provider_arn" {
  type        = string
  default     = null
  description = "GitHub's identity provider, where the account has it already: an account has one. Null makes it."
}

variable "eks_cluster_arn" {
  type        = string
  description = "The cluster on EKS whose pods take the roles; those of another one of the account cannot."
  validation {
    condition     = can(regex("^arn:aws[a-z-]*:eks:[a-z0-9-]+:[0-9]{12}:cluster/[A-Za-z0-9][A-Za-z0-9_-]{0,99}$", var.eks_cluster_arn))
    error_message = "eks_cluster_arn: arn:aws:eks:REGION:ACCOUNT:cluster/NAME, without a wildcard."
  }
}

variable "kubernetes_namespace" {
  type        = string
  description = "The namespace on EKS whose service accounts take the roles, by EKS Pod Identity."
}

variable "vpc_id" {
  type        = string
  description = "The network that the database stands in."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Private subnets for the database, in at least two availability zones."
  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids: RDS asks for subnets in at least two availability zones."
  }
}

variable "client_security_group_ids" {
  type        = set(string)
  description = "The security groups whose members may reach the database; nobody else can."
}

variable "database" {
  type = object({
    class             = optional(string, "db.t4g.medium")
    version           = optional(string, "17")
    storage_gb        = optional(number, 20)
    largest_gb        = optional(number, 200)
    two_zones         = optional(bool, false)
    backups_kept_days = optional(number, 14)
  })
  default     = {}
  description = "The PostgreSQL instance: its size, its major version, a standby in a second zone, how long backups are kept."
  validation {
    condition     = var.database.backups_kept_days >= 7
    error_message = "database.backups_kept_days: at least 7; without backups RDS cannot go back to a point in time."
  }
}

variable "lock" {
  type = object({
    mode       = optional(string, "GOVERNANCE")
    days       = optional(number, 30)
    audit_mode = optional(string, "GOVERNANCE")
    audit_days = optional(number, 365)
  })
  default     = {}
  description = "How long an object's version can be neither deleted nor changed. COMPLIANCE cannot be lifted by anyone."
  validation {
    condition     = alltrue([for mode in [var.lock.mode, var.lock.audit_mode] : contains(["GOVERNANCE", "COMPLIANCE"], mode)])
    error_message = "lock: a mode is GOVERNANCE or COMPLIANCE."
  }
  validation {
    condition     = var.lock.days >= 1 && var.lock.audit_days >= 1
    error_message = "lock: at least a day; a bucket without a retention locks nothing."
  }
}
