locals {
  roles = merge(
    { consume = { min = var.service_min_replicas, max = var.service_max_replicas, target_group_arn = null } },
    var.other_roles,
  )

  # What goes before these is var.settings.
  defaults = {
    # coafi reads neither of the two names. The registry of schemas is what it asks for; of the ledger's API it has no need, since its
    # ledger is the topic coafi.bitt.records: BITT_API_URL is there for handlers of your own.
    BITT_API_URL                = data.aws_ssm_parameter.bitt_api_url.insecure_value
    REGISTRY_API_URL            = data.aws_ssm_parameter.registry_api_url.insecure_value
    COAFI__SCHEMA_REGISTRY__URL = data.aws_ssm_parameter.registry_api_url.insecure_value
    # A task that follows another one has another name, so it cannot be the same member of the group.
    COAFI__KAFKA__MEMBERSHIP = "dynamic"
    AWS_REGION               = var.aws_region
  }

  secrets = {
    for role in keys(local.roles) : role => merge(
      { AUTH_SECRET = aws_ssm_parameter.auth_secret.arn },
      # Only the API authenticates anybody.
      role == "api" ? { COAFI__API__JWT__SECRET = aws_ssm_parameter.auth_secret.arn } : {},
      var.secrets,
    )
  }
}

resource "aws_cloudwatch_log_group" "event_handlers" {
  name              = "/ecs/coafi-event-handlers-${var.environment}"
  retention_in_days = 30
  tags              = local.tags
}

resource "aws_ecs_cluster" "coafi" {
  name = "coafi-${var.environment}"
  tags = local.tags

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_task_definition" "role" {
  for_each = local.roles

  family                   = each.key == "consume" ? "coafi-event-handlers-${var.environment}" : "coafi-event-handlers-${each.key}-${var.environment}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.task_cpu
  memory                   = var.task_memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  tags                     = local.tags

  # Clones of git repositories. It belongs to the image's user, as the image's VOLUME says.
  volume {
    name = "data"
  }

  container_definitions = jsonencode([{
    name         = "event-handlers"
    image        = "${aws_ecr_repository.event_handlers.repository_url}:${var.image_tag}"
    command      = split("-", each.key)
    essential    = true
    user         = "10001"
    portMappings = [for port in each.key == "api" ? [8080, 8090] : [8080] : { containerPort = port, hostPort = port, protocol = "tcp" }]
    environment  = [for name, value in merge(local.defaults, var.settings) : { name = name, value = value }]
    secrets      = [for name, arn in local.secrets[each.key] : { name = name, valueFrom = arn }]
    # More than the drain (kafka.drain.timeout, 20 s): what is running is committed, not killed.
    stopTimeout            = 30
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"], add = [] }, initProcessEnabled = false }
    mountPoints            = [{ sourceVolume = "data", containerPath = "/var/lib/coafi", readOnly = false }]
    healthCheck = {
      command     = ["CMD", "coafi", "health"]
      interval    = 30
      timeout     = 5
      startPeriod = 15
      retries     = 3
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.event_handlers.name
        awslogs-region        = var.aws_region
        awslogs-stream-prefix = each.key
      }
    }
  }])
}

resource "aws_ecs_service" "role" {
  for_each = local.roles

  name             = each.key == "consume" ? "coafi-event-handlers" : "coafi-event-handlers-${each.key}"
  cluster          = aws_ecs_cluster.coafi.id
  task_definition  = aws_ecs_task_definition.role[each.key].arn
  desired_count    = each.value.min
  launch_type      = "FARGATE"
  platform_version = "LATEST"
  propagate_tags   = "SERVICE"
  tags             = local.tags

  # A release whose tasks do not come up is taken back.
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.private_subnet_ids
    security_groups  = [aws_security_group.service.id]
    assign_public_ip = false
  }

  dynamic "load_balancer" {
    for_each = each.value.target_group_arn == null ? [] : [each.value.target_group_arn]

    content {
      target_group_arn = load_balancer.value
      container_name   = "event-handlers"
      container_port   = each.key == "api" ? 8090 : 8080
    }
  }

  # An apply must not take back what the autoscaler has decided.
  lifecycle {
    ignore_changes = [desired_count]
  }

  # Tasks cannot start before they may read their secrets.
  depends_on = [aws_iam_role_policy.execution, aws_iam_role_policy.artifacts]
}
