resource "aws_ecr_repository" "event_handlers" {
  name = "coafi-event-handlers-${var.environment}"
  # What runs under a tag is what was tested under it.
  image_tag_mutability = "IMMUTABLE"
  tags                 = local.tags

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "event_handlers" {
  repository = aws_ecr_repository.event_handlers.name

  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "The last 50 images: enough to go back by"
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 50 }
      action       = { type = "expire" }
    }]
  })
}
