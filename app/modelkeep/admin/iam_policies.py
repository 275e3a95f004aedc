"""The least privilege that each role of the registry needs on AWS, as IAM policy documents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from modelkeep.domain.artifacts import KEY_PREFIX
from modelkeep.domain.ownership import OWNER_KEY
from modelkeep.storage.table import CATALOG_INDEX

Statement = dict[str, Any]

_TABLE: Final = "arn:{partition}:dynamodb:{region}:{account}:table/{table}"
_CATALOG: Final = f"{_TABLE}/index/{CATALOG_INDEX.name}"
_BUCKET: Final = "arn:{partition}:s3:::{bucket}"
_ARTIFACTS: Final = f"{_BUCKET}/{KEY_PREFIX}*"
_OWNER: Final = f"{_BUCKET}/{OWNER_KEY}"
_PROBES: Final = _BUCKET + "/" + KEY_PREFIX + "${{$}}probe/*"
"""Where `init` probes the bucket. IAM writes a dollar sign as `${$}`."""

_IN_TRANSACTIONS: Final = {"ForAnyValue:StringEquals": {"dynamodb:EnclosingOperation": ["TransactWriteItems"]}}


class Role(StrEnum):
    """Who runs with the policy."""

    SERVE = "serve"
    MIGRATE = "migrate"
    SWEEP = "sweep"
    INIT = "init"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Permission:
    """Actions on one resource, for a purpose, which is the statement's id."""

    purpose: str
    actions: Sequence[str]
    resource: str
    condition: Mapping[str, Any] = field(default_factory=dict)

    def statement(self, **names: str) -> Statement:
        service = self.resource.split(":")[2]
        return {
            "Sid": self.purpose,
            "Effect": "Allow",
            "Action": [f"{service}:{action}" for action in self.actions],
            "Resource": [self.resource.format(**names)],
            **({"Condition": self.condition} if self.condition else {}),
        }


def _write(*actions: str) -> _Permission:
    return _Permission(purpose="WriteItems", actions=actions, resource=_TABLE, condition=_IN_TRANSACTIONS)


_READ: Final = _Permission(purpose="ReadItems", actions=["GetItem", "Query"], resource=_TABLE)
_READ_ALL: Final = _Permission(purpose="ReadAllItems", actions=["Scan"], resource=_TABLE)
_CHECK_PRECONDITIONS: Final = _Permission(purpose="CheckPreconditions", actions=["ConditionCheckItem"], resource=_TABLE)
"""Without a condition: it happens in transactions only, and AWS's reference has no EnclosingOperation for it."""

_READ_ARTIFACTS: Final = _Permission(
    purpose="ReadArtifacts", actions=["GetObject", "GetObjectVersion"], resource=_ARTIFACTS
)
_TELL_MISSING: Final = _Permission(purpose="TellMissingFromForbidden", actions=["ListBucket"], resource=_BUCKET)

_READ_OWNER: Final = _Permission(purpose="ReadOwner", actions=["GetObject"], resource=_OWNER)

_FIND_MODELS: Final = _Permission(purpose="FindModels", actions=["Query"], resource=_CATALOG)
_READ_MODELS: Final = _Permission(purpose="ReadModels", actions=["BatchGetItem"], resource=_TABLE)

_SEE_TABLE: Final = _Permission(
    purpose="SeeTableSettings",
    actions=["DescribeTable", "DescribeTimeToLive", "DescribeContinuousBackups"],
    resource=_TABLE,
)
_SEE_BUCKET: Final = _Permission(
    purpose="SeeBucketSettings",
    actions=[
        "GetBucketVersioning",
        "GetLifecycleConfiguration",
        "GetBucketPublicAccessBlock",
        "GetBucketPolicyStatus",
    ],
    resource=_BUCKET,
)

_SERVE: Final = (
    _READ,
    _FIND_MODELS,
    _READ_MODELS,
    _write("PutItem", "DeleteItem"),
    _CHECK_PRECONDITIONS,
    _READ_ARTIFACTS,
    _TELL_MISSING,
    _READ_OWNER,
    _Permission(
        purpose="StoreArtifacts",
        actions=["PutObject", "AbortMultipartUpload", "ListMultipartUploadParts"],
        resource=_ARTIFACTS,
    ),
)

_MIGRATE: Final = (
    _READ,
    _FIND_MODELS,
    _READ_MODELS,
    _READ_ALL,
    _write("PutItem", "DeleteItem"),
    _CHECK_PRECONDITIONS,
    _READ_ARTIFACTS,
    _TELL_MISSING,
    _READ_OWNER,
    _Permission(purpose="StoreArtifacts", actions=["PutObject", "AbortMultipartUpload"], resource=_ARTIFACTS),
)

_SWEEP: Final = (
    _READ,
    _READ_ALL,
    _write("PutItem", "DeleteItem"),
    _READ_ARTIFACTS,
    _TELL_MISSING,
    _SEE_TABLE,
    _SEE_BUCKET,
    _READ_OWNER,
    _Permission(purpose="FindOrphans", actions=["ListBucketVersions", "ListBucketMultipartUploads"], resource=_BUCKET),
    _Permission(
        purpose="RemoveArtifacts", actions=["DeleteObjectVersion", "AbortMultipartUpload"], resource=_ARTIFACTS
    ),
)

_INIT: Final = (
    _READ,
    _READ_ALL,
    _write("PutItem"),
    _READ_ARTIFACTS,
    _TELL_MISSING,
    _SEE_TABLE,
    _READ_OWNER,
    _Permission(
        purpose="MakeTable",
        actions=["CreateTable", "UpdateTable", "UpdateTimeToLive", "UpdateContinuousBackups"],
        resource=_TABLE,
    ),
    _SEE_BUCKET,
    _Permission(
        purpose="MakeBucket",
        actions=[
            "CreateBucket",
            "PutBucketVersioning",
            "PutBucketPublicAccessBlock",
            "PutLifecycleConfiguration",
        ],
        resource=_BUCKET,
    ),
    _Permission(purpose="ChangeOwner", actions=["PutObject", "DeleteObjectVersion"], resource=_OWNER),
    _Permission(purpose="ProbeBucket", actions=["PutObject", "DeleteObjectVersion"], resource=_PROBES),
    _Permission(purpose="FindProbes", actions=["ListBucketVersions"], resource=_BUCKET),
)

_PERMISSIONS: Final[Mapping[Role, Sequence[_Permission]]] = {
    Role.SERVE: _SERVE,
    Role.MIGRATE: _MIGRATE,
    Role.SWEEP: _SWEEP,
    Role.INIT: _INIT,
}


def policy(role: Role, *, table: str, bucket: str, account: str, region: str, partition: str) -> dict[str, Any]:
    """The policy document of a role: for each action in it, some operation of the role fails without it.

    The policies of `sweep` and `init` suffice for `check` too, that of `init` for `init --adopt --verify`, and that of
    `migrate` for both directions.
    """
    names = {"table": table, "bucket": bucket, "account": account, "region": region, "partition": partition}
    return {"Version": "2012-10-17", "Statement": [permission.statement(**names) for permission in _PERMISSIONS[role]]}
