# By the same measures as on Kubernetes. Tasks that wait for others cost neither: who scales by backlog tracks coafi_lag.
resource "aws_appautoscaling_target" "role" {
  for_each = local.roles

  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.coafi.name}/${aws_ecs_service.role[each.key].name}"
  min_capacity       = each.value.min
  max_capacity       = each.value.max
  tags               = local.tags
}

locals {
  measures = {
    cpu    = { type = "ECSServiceAverageCPUUtilization", target = 70 }
    memory = { type = "ECSServiceAverageMemoryUtilization", target = 80 }
  }
  policies = merge([
    for role, of in local.roles : {
      for measure in keys(local.measures) : "${role}-${measure}" => { role = role, measure = measure }
    } if of.max > of.min
  ]...)
}

resource "aws_appautoscaling_policy" "role" {
  for_each = local.policies

  name               = "coafi-event-handlers-${each.key}-${var.environment}"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.role[each.value.role].service_namespace
  scalable_dimension = aws_appautoscaling_target.role[each.value.role].scalable_dimension
  resource_id        = aws_appautoscaling_target.role[each.value.role].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = local.measures[each.value.measure].target
    scale_out_cooldown = 60
    # Each change moves partitions between tasks.
    scale_in_cooldown = 300

    predefined_metric_specification {
      predefined_metric_type = local.measures[each.value.measure].type
    }
  }
}
