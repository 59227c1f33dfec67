terraform {
  # Write-only arguments and ephemeral variables keep the secret out of the state.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  region = var.aws_region
}

locals {
  tags = {
    Environment = var.environment
    Project     = "GAIA-Platforms"
    Component   = "COAFI-EventHandlers"
  }
}
