"""The least that each role of the registry needs from AWS, as IAM policy documents."""

from enum import StrEnum
from typing import Any, Final

from app.domain.artifacts import KEY_PREFIX

Statement = dict[str, Any]

_IN_TRANSACTIONS: Final = {"ForAnyValue:StringEquals": {"dynamodb:EnclosingOperation": ["TransactWriteItems"]}}


class Role(StrEnum):
    """Who runs with the policy."""

    SERVE = "serve"
    MIGRATE = "migrate"
    SWEEP = "sweep"
    INIT = "init"


def policy(role: Role, *, table: str, bucket: str, account: str, region: str) -> dict[str, Any]:
    """The policy document of a role. Each may do what those before it may; `sweep` also does `check`.

    `init` also does `init --adopt`. `migrate` is the service and a look at the whole table, for either direction.
    """
    arn = f"arn:aws:dynamodb:{region}:{account}:table/{table}"
    statements = [*_serve(arn, bucket)]
    if role is not Role.SERVE:
        statements += _migrate(arn)
    if role in {Role.SWEEP, Role.INIT}:
        statements += _sweep(bucket)
    if role is Role.INIT:
        statements += _init(arn, bucket)
    return {"Version": "2012-10-17", "Statement": statements}


def _serve(table: str, bucket: str) -> list[Statement]:
    return [
        _allow("ReadMetadata", ["GetItem", "BatchGetItem", "Query"], [table, f"{table}/index/*"], service="dynamodb"),
        {
            **_allow("WriteMetadata", ["PutItem", "DeleteItem", "ConditionCheckItem"], [table], service="dynamodb"),
            "Condition": _IN_TRANSACTIONS,
        },
        _allow(
            "SignAndVerifyBytes",
            ["PutObject", "GetObject", "GetObjectVersion", "AbortMultipartUpload", "ListMultipartUploadParts"],
            [f"arn:aws:s3:::{bucket}/{KEY_PREFIX}*"],
            service="s3",
        ),
        _allow("TellMissingFromForbidden", ["ListBucket"], [f"arn:aws:s3:::{bucket}"], service="s3"),
    ]


def _migrate(table: str) -> list[Statement]:
    return [_allow("ReadEverything", ["Scan"], [table], service="dynamodb")]


def _sweep(bucket: str) -> list[Statement]:
    return [
        _allow(
            "RemoveBytes",
            ["DeleteObject", "DeleteObjectVersion"],
            [f"arn:aws:s3:::{bucket}/{KEY_PREFIX}*"],
            service="s3",
        ),
        _allow("FindOrphans", ["ListBucketMultipartUploads"], [f"arn:aws:s3:::{bucket}"], service="s3"),
    ]


def _init(table: str, bucket: str) -> list[Statement]:
    return [
        _allow(
            "MakeTable",
            [
                "CreateTable",
                "DescribeTable",
                "UpdateTable",
                "DescribeTimeToLive",
                "UpdateTimeToLive",
                "DescribeContinuousBackups",
                "UpdateContinuousBackups",
            ],
            [table, f"{table}/index/*"],
            service="dynamodb",
        ),
        _allow(
            "MakeBucket",
            [
                "CreateBucket",
                "ListBucketVersions",
                "GetBucketVersioning",
                "PutBucketVersioning",
                "GetBucketPublicAccessBlock",
                "PutBucketPublicAccessBlock",
                "GetLifecycleConfiguration",
                "PutLifecycleConfiguration",
            ],
            [f"arn:aws:s3:::{bucket}"],
            service="s3",
        ),
    ]


def _allow(sid: str, actions: list[str], resources: list[str], *, service: str) -> Statement:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": [f"{service}:{action}" for action in actions],
        "Resource": resources,
    }
