variable "aws_region" {
  description = "AWS region"
  type        = string
}

variable "environment" {
  description = "Deployment environment, e.g. dev, staging or prod; a part of most names"
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,20}$", var.environment))
    error_message = "environment: up to 21 small letters, digits and hyphens, beginning with a letter."
  }
}

variable "image_tag" {
  description = "Tag of the image in the ECR repository, a commit's short SHA: tags cannot be moved there"
  type        = string
}

variable "vpc_id" {
  description = "ID of the VPC"
  type        = string
}

variable "vpc_cidr_block" {
  description = "CIDR block of the VPC: who in it may reach the tasks' port"
  type        = string
}

variable "private_subnet_ids" {
  description = "Private subnets of the tasks, with a way out to ECR, Kafka and whatever handlers call"
  type        = list(string)
}

variable "service_min_replicas" {
  description = "Tasks of `coafi consume` at least"
  type        = number
  default     = 3
}

variable "service_max_replicas" {
  description = "Tasks of `coafi consume` at most; more than a topic has partitions stand by"
  type        = number
  default     = 10
}

variable "task_cpu" {
  description = "CPU units of a task"
  type        = string
  default     = "512"
}

variable "task_memory" {
  description = "Memory of a task, MiB"
  type        = string
  default     = "1024"
}

variable "settings" {
  description = "Settings of coafi as variables, COAFI__KAFKA__BOOTSTRAP_SERVERS and so on (docs/configuration.md); no secrets"
  type        = map(string)

  validation {
    condition = alltrue([
      for name in ["COAFI__KAFKA__BOOTSTRAP_SERVERS", "COAFI__DATABASE__URL", "COAFI__ARTIFACTS__URL"] :
      contains(keys(var.settings), name)
    ])
    error_message = "settings: COAFI__KAFKA__BOOTSTRAP_SERVERS, COAFI__DATABASE__URL and COAFI__ARTIFACTS__URL have no default that works here."
  }

  validation {
    condition     = can(regex("^s3://[^/]+", var.settings["COAFI__ARTIFACTS__URL"]))
    error_message = "settings: COAFI__ARTIFACTS__URL is s3://bucket/prefix: a directory would be each task's own, and gone with it."
  }

  validation {
    condition     = length([for name in keys(var.settings) : name if can(regex("(PASSWORD|SECRET|TOKEN|PEM|ACCESS_KEY|SECRETS__[A-Z0-9_]+)$", name))]) == 0
    error_message = "settings: what looks like a secret belongs into secrets."
  }
}

variable "secrets" {
  description = "Variables whose value is an SSM parameter or a secret of Secrets Manager, by its ARN: COAFI__DATABASE__PASSWORD and so on"
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for arn in values(var.secrets) : can(regex("^arn:[^:]+:(ssm|secretsmanager):", arn))])
    error_message = "secrets: ARNs of SSM parameters or of secrets of Secrets Manager."
  }
}

variable "kms_key_arns" {
  description = "Keys that these secrets are encrypted with, other than AWS' own"
  type        = list(string)
  default     = []
}

variable "other_roles" {
  description = "What runs besides `coafi consume`: api, connect-git, connect-schedule, connect-bitt, connect-federated"
  type = map(object({
    min              = optional(number, 1)
    max              = optional(number, 1)
    target_group_arn = optional(string)
  }))
  default = {}

  validation {
    condition     = alltrue([for role in keys(var.other_roles) : contains(["api", "connect-git", "connect-schedule", "connect-bitt", "connect-federated"], role)])
    error_message = "other_roles: api, connect-git, connect-schedule, connect-bitt or connect-federated."
  }
}

variable "auth_secret_value" {
  description = "The secret that the API's HS256 tokens are signed with, at least 32 bytes; it is written and never kept in the state"
  type        = string
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = length(var.auth_secret_value) >= 32
    error_message = "auth_secret_value: at least 32 bytes, or coafi refuses it."
  }
}

variable "auth_secret_version" {
  description = "Raised when auth_secret_value is another one: Terraform cannot see that by itself"
  type        = number
  default     = 1
}
