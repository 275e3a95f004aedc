"""The drivers on AWS: `Table` on DynamoDB, `ObjectStore` on S3."""
