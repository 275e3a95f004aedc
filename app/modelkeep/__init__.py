"""A model registry on S3 and DynamoDB, or on one machine."""
