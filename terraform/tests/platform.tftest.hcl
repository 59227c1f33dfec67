# What the platform asks of the AWS side, name by name and number by number, against a provider that creates nothing.

mock_provider "aws" {
  mock_resource "aws_ecr_repository" {
    defaults = {
      arn            = "arn:aws:ecr:eu-central-1:123456789012:repository/coafi-event-handlers-dev"
      repository_url = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/coafi-event-handlers-dev"
    }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mock" }
  }
  mock_resource "aws_ssm_parameter" {
    defaults = { arn = "arn:aws:ssm:eu-central-1:123456789012:parameter/coafi/dev/secrets/event-handlers/auth-secret" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-central-1:123456789012:task-definition/mock:1" }
  }
}

override_data {
  target = data.aws_ssm_parameter.bitt_api_url
  values = { insecure_value = "https://bitt.example.org" }
}

override_data {
  target = data.aws_ssm_parameter.registry_api_url
  values = { insecure_value = "https://registry.example.org" }
}

variables {
  aws_region         = "eu-central-1"
  environment        = "dev"
  image_tag          = "0123abc"
  vpc_id             = "vpc-1"
  vpc_cidr_block     = "10.20.0.0/16"
  private_subnet_ids = ["subnet-1", "subnet-2"]
  auth_secret_value  = "0123456789abcdef0123456789abcdef"
  settings = {
    COAFI__KAFKA__BOOTSTRAP_SERVERS = "kafka.example.org:9092"
    COAFI__DATABASE__URL            = "postgres://coafi@db.example.org/coafi?sslmode=verify-full"
    COAFI__ARTIFACTS__URL           = "s3://artifacts/coafi"
  }
}

# One run for all of it, since each starts the provider anew.
run "what_is_asked_for" {
  # image
  assert {
    condition     = aws_ecr_repository.event_handlers.name == "coafi-event-handlers-dev"
    error_message = "the repository is coafi-event-handlers-{environment}"
  }

  # service
  assert {
    condition     = aws_ecs_cluster.coafi.name == "coafi-dev"
    error_message = "the cluster is coafi-{environment}"
  }
  assert {
    condition     = join(",", keys(aws_ecs_service.role)) == "consume" && aws_ecs_service.role["consume"].name == "coafi-event-handlers"
    error_message = "there is one service, coafi-event-handlers, unless more is asked for"
  }
  assert {
    condition     = aws_ecs_service.role["consume"].launch_type == "FARGATE"
    error_message = "it runs on Fargate"
  }
  assert {
    condition     = aws_ecs_service.role["consume"].desired_count == 3 && aws_appautoscaling_target.role["consume"].min_capacity == 3
    error_message = "three tasks at least"
  }
  assert {
    condition     = aws_appautoscaling_target.role["consume"].max_capacity == 10 && length(aws_appautoscaling_policy.role) == 2
    error_message = "ten tasks at most, by CPU and memory"
  }
  assert {
    condition     = toset(aws_ecs_service.role["consume"].network_configuration[0].subnets) == toset(["subnet-1", "subnet-2"])
    error_message = "it runs in the private subnets"
  }
  assert {
    condition     = aws_ecs_service.role["consume"].network_configuration[0].assign_public_ip == false
    error_message = "no public address"
  }
  assert {
    condition     = aws_ecs_task_definition.role["consume"].family == "coafi-event-handlers-dev"
    error_message = "the family is coafi-event-handlers-{environment}"
  }
  assert {
    condition     = aws_ecs_task_definition.role["consume"].cpu == "512" && aws_ecs_task_definition.role["consume"].memory == "1024"
    error_message = "512 CPU units and 1024 MiB"
  }

  # container
  assert {
    condition     = jsondecode(aws_ecs_task_definition.role["consume"].container_definitions)[0].name == "event-handlers"
    error_message = "the container is event-handlers"
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.role["consume"].container_definitions)[0].image == "123456789012.dkr.ecr.eu-central-1.amazonaws.com/coafi-event-handlers-dev:0123abc"
    error_message = "the image is the repository's, at the tag"
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.role["consume"].container_definitions)[0].command == ["consume"]
    error_message = "it consumes"
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.role["consume"].container_definitions)[0].portMappings[*].containerPort == [8080]
    error_message = "port 8080"
  }
  assert {
    condition = {
      for variable in jsondecode(aws_ecs_task_definition.role["consume"].container_definitions)[0].environment : variable.name => variable.value
      } == {
      AWS_REGION                      = "eu-central-1"
      BITT_API_URL                    = "https://bitt.example.org"
      REGISTRY_API_URL                = "https://registry.example.org"
      COAFI__SCHEMA_REGISTRY__URL     = "https://registry.example.org"
      COAFI__KAFKA__MEMBERSHIP        = "dynamic"
      COAFI__KAFKA__BOOTSTRAP_SERVERS = "kafka.example.org:9092"
      COAFI__DATABASE__URL            = "postgres://coafi@db.example.org/coafi?sslmode=verify-full"
      COAFI__ARTIFACTS__URL           = "s3://artifacts/coafi"
    }
    error_message = "the platform's addresses, what coafi reads instead, and the settings"
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.role["consume"].container_definitions)[0].secrets == [{ name = "AUTH_SECRET", valueFrom = aws_ssm_parameter.auth_secret.arn }]
    error_message = "AUTH_SECRET comes from the parameter"
  }
  assert {
    condition = jsondecode(aws_ecs_task_definition.role["consume"].container_definitions)[0].healthCheck == {
      command = ["CMD", "coafi", "health"], interval = 30, timeout = 5, startPeriod = 15, retries = 3
    }
    error_message = "health as in the Dockerfile"
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.role["consume"].container_definitions)[0].stopTimeout == 30
    error_message = "more than the drain of 20 s"
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.role["consume"].container_definitions)[0].readonlyRootFilesystem && jsondecode(aws_ecs_task_definition.role["consume"].container_definitions)[0].mountPoints[0].containerPath == "/var/lib/coafi"
    error_message = "one directory to write to"
  }

  # network
  assert {
    condition = [for rule in aws_security_group.service.ingress : [rule.from_port, rule.to_port, rule.protocol, join(",", rule.cidr_blocks)]] == [
      [8080, 8080, "tcp", "10.20.0.0/16"]
    ]
    error_message = "8080 from the VPC, and nothing else"
  }

  # logs
  assert {
    condition     = aws_cloudwatch_log_group.event_handlers.name == "/ecs/coafi-event-handlers-dev" && aws_cloudwatch_log_group.event_handlers.retention_in_days == 30
    error_message = "/ecs/coafi-event-handlers-{environment}, kept for 30 days"
  }

  # parameters
  assert {
    condition     = data.aws_ssm_parameter.bitt_api_url.name == "/coafi/dev/config/bitt-api-url" && data.aws_ssm_parameter.registry_api_url.name == "/coafi/dev/config/registry-api-url"
    error_message = "the platform's parameters"
  }
  assert {
    condition     = aws_ssm_parameter.auth_secret.name == "/coafi/dev/secrets/event-handlers/auth-secret" && aws_ssm_parameter.auth_secret.type == "SecureString"
    error_message = "the secret is a SecureString"
  }

  # tags
  assert {
    condition = alltrue([
      for tags in [
        aws_ecr_repository.event_handlers.tags, aws_ecs_cluster.coafi.tags, aws_ecs_service.role["consume"].tags,
        aws_ecs_task_definition.role["consume"].tags, aws_security_group.service.tags,
        aws_cloudwatch_log_group.event_handlers.tags, aws_ssm_parameter.auth_secret.tags, aws_iam_role.execution.tags,
        aws_iam_role.task.tags, aws_appautoscaling_target.role["consume"].tags,
      ] :
      tags["Environment"] == "dev" && tags["Project"] == "GAIA-Platforms" && tags["Component"] == "COAFI-EventHandlers"
    ])
    error_message = "Environment, Project and Component are on everything"
  }

  # permissions
  assert {
    condition = jsondecode(aws_iam_role_policy.artifacts.policy).Statement[*].Resource == [
      ["arn:aws:s3:::artifacts"], ["arn:aws:s3:::artifacts/coafi/*"]
    ]
    error_message = "artifacts are written below the prefix"
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.execution.policy).Statement[3].Resource == [aws_ssm_parameter.auth_secret.arn]
    error_message = "no other secret can be read"
  }
}

run "other_roles" {
  variables {
    other_roles = { api = { min = 2, max = 4 }, connect-git = {} }
    secrets     = { COAFI__DATABASE__PASSWORD = "arn:aws:ssm:eu-central-1:123456789012:parameter/db" }
  }
  assert {
    condition     = aws_ecs_service.role["api"].name == "coafi-event-handlers-api" && jsondecode(aws_ecs_task_definition.role["connect-git"].container_definitions)[0].command == ["connect", "git"]
    error_message = "each role is a service with its command"
  }
  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.role["api"].container_definitions)[0].secrets[*].name, "COAFI__API__JWT__SECRET") && !contains(jsondecode(aws_ecs_task_definition.role["connect-git"].container_definitions)[0].secrets[*].name, "COAFI__API__JWT__SECRET")
    error_message = "the API, and only it, takes AUTH_SECRET for its tokens"
  }
  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.role["consume"].container_definitions)[0].secrets[*].name, "COAFI__DATABASE__PASSWORD")
    error_message = "secrets go to every role"
  }
  assert {
    condition     = toset([for rule in aws_security_group.service.ingress : rule.from_port]) == toset([8080, 8090])
    error_message = "the API's port is open with the API"
  }
}

run "a_secret_among_the_settings" {
  command = plan
  variables {
    settings = {
      COAFI__KAFKA__BOOTSTRAP_SERVERS = "kafka.example.org:9092"
      COAFI__DATABASE__URL            = "postgres://coafi@db.example.org/coafi"
      COAFI__DATABASE__PASSWORD       = "hunter2"
      COAFI__ARTIFACTS__URL           = "s3://artifacts"
    }
  }
  expect_failures = [var.settings]
}

run "artifacts_in_a_directory" {
  command = plan
  variables {
    settings = {
      COAFI__KAFKA__BOOTSTRAP_SERVERS = "kafka.example.org:9092"
      COAFI__DATABASE__URL            = "postgres://coafi@db.example.org/coafi"
      COAFI__ARTIFACTS__URL           = "/var/lib/coafi/artifacts"
    }
  }
  expect_failures = [var.settings]
}

run "a_short_secret" {
  command = plan
  variables {
    auth_secret_value = "short"
  }
  expect_failures = [var.auth_secret_value]
}
