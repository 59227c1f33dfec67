# What the platform gives every service. These two exist already.
data "aws_ssm_parameter" "bitt_api_url" {
  name = "/coafi/${var.environment}/config/bitt-api-url"
}

data "aws_ssm_parameter" "registry_api_url" {
  name = "/coafi/${var.environment}/config/registry-api-url"
}

resource "aws_ssm_parameter" "auth_secret" {
  name             = "/coafi/${var.environment}/secrets/event-handlers/auth-secret"
  description      = "Signs the tokens of the event handlers' API"
  type             = "SecureString"
  value_wo         = var.auth_secret_value
  value_wo_version = var.auth_secret_version
  tags             = local.tags
}
