locals {
  trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
    }]
  })

  bucket = regex("^s3://(?P<name>[^/]+)/?(?P<prefix>.*?)/?$", var.settings["COAFI__ARTIFACTS__URL"])
  # Of the partition that everything else here is in (aws, aws-cn, aws-us-gov).
  partition = split(":", aws_ssm_parameter.auth_secret.arn)[1]
}

# What starts a task: it pulls the image, writes the log and reads the secrets.
resource "aws_iam_role" "execution" {
  name               = "coafi-event-handlers-${var.environment}-execution"
  assume_role_policy = local.trust
  tags               = local.tags
}

resource "aws_iam_role_policy" "execution" {
  name = "start-tasks"
  role = aws_iam_role.execution.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        # It names no repository: AWS has it so.
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken"]
        Resource = ["*"]
      },
      {
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = [aws_ecr_repository.event_handlers.arn]
      },
      {
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${aws_cloudwatch_log_group.event_handlers.arn}:*"]
      },
      {
        Effect   = "Allow"
        Action   = ["ssm:GetParameters", "secretsmanager:GetSecretValue"]
        Resource = concat([aws_ssm_parameter.auth_secret.arn], values(var.secrets))
      },
      ], length(var.kms_key_arns) == 0 ? [] : [{
        Effect   = "Allow"
        Action   = ["kms:Decrypt"]
        Resource = var.kms_key_arns
    }])
  })
}

# What coafi itself may do: read and write artifacts.
resource "aws_iam_role" "task" {
  name               = "coafi-event-handlers-${var.environment}-task"
  assume_role_policy = local.trust
  tags               = local.tags
}

resource "aws_iam_role_policy" "artifacts" {
  name = "artifacts"
  role = aws_iam_role.task.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = ["arn:${local.partition}:s3:::${local.bucket.name}"]
      },
      {
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
        Resource = ["arn:${local.partition}:s3:::${local.bucket.name}/${local.bucket.prefix == "" ? "" : "${local.bucket.prefix}/"}*"]
      },
    ]
  })
}
