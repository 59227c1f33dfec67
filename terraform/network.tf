resource "aws_security_group" "service" {
  name        = "coafi-event-handlers-sg-${var.environment}"
  description = "COAFI event handlers: health and metrics from the VPC, everything outward"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = "coafi-event-handlers-sg-${var.environment}" })

  ingress {
    description = "Health and metrics"
    from_port   = 8080
    to_port     = 8080
    protocol    = "tcp"
    cidr_blocks = [var.vpc_cidr_block]
  }

  dynamic "ingress" {
    for_each = contains(keys(local.roles), "api") ? [8090] : []

    content {
      description = "The HTTP API"
      from_port   = ingress.value
      to_port     = ingress.value
      protocol    = "tcp"
      cidr_blocks = [var.vpc_cidr_block]
    }
  }

  egress {
    description = "Kafka, the database, git hosts, and what handlers call"
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}
