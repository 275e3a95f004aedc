"""The drivers on AWS: the table on DynamoDB, the objects on S3."""
