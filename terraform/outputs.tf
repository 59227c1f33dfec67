output "repository_url" {
  description = "Where images are pushed"
  value       = aws_ecr_repository.event_handlers.repository_url
}

output "cluster_name" {
  description = "Name of the ECS cluster"
  value       = aws_ecs_cluster.coafi.name
}

output "service_names" {
  description = "Name of the ECS service of each role"
  value       = { for role, service in aws_ecs_service.role : role => service.name }
}

output "security_group_id" {
  description = "What Kafka, the database and the schema registry have to let in"
  value       = aws_security_group.service.id
}

output "log_group_name" {
  description = "Where the tasks log to"
  value       = aws_cloudwatch_log_group.event_handlers.name
}
