"""The rights that an operation needs, for a sentence on what a role lacks."""

from typing import Final

ACTIONS: Final = {
    "CompleteMultipartUpload": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListParts": "ListMultipartUploadParts",
    "PutBucketCors": "PutBucketCORS",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "UploadPart": "PutObject",
}
"""The IAM action of an operation, where their names differ.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
"""

_KMS_ACTIONS: Final = {
    "CompleteMultipartUpload": "kms:Decrypt",
    "CreateMultipartUpload": "kms:GenerateDataKey",
    "GetObject": "kms:Decrypt",
    "HeadObject": "kms:Decrypt",
    "PutObject": "kms:GenerateDataKey",
    "UploadPart": "kms:Decrypt",
}
"""What an operation needs of the key of an encrypted bucket; without it S3 answers as if its own action were denied.

Of HeadObject it is the checksum that needs it. Source:
https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
"""


def actions_of(operation: str, kind: str) -> str:
    """The actions of which the role may lack one, for an operation on a table or a bucket."""
    if kind == "table":
        many = "dynamodb:PutItem, dynamodb:DeleteItem or dynamodb:ConditionCheckItem"
        return many if operation == "TransactWriteItems" else f"dynamodb:{operation}"
    action = f"s3:{ACTIONS.get(operation, operation)}"
    if operation == "HeadObject":
        action = "s3:GetObject, s3:GetObjectVersion, s3:ListBucket (which tells a missing object from a forbidden one)"
    of_the_key = _KMS_ACTIONS.get(operation)
    return f"{action} (or {of_the_key} on the key that encrypts it)" if of_the_key else action
