"""The least that each role of the registry needs from AWS, as IAM policy documents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from modelkeep.domain.artifacts import KEY_PREFIX
from modelkeep.storage.table import CATALOG_INDEX

Statement = dict[str, Any]

_TABLE: Final = "arn:aws:dynamodb:{region}:{account}:table/{table}"
_CATALOG: Final = f"{_TABLE}/index/{CATALOG_INDEX.name}"
_BUCKET: Final = "arn:aws:s3:::{bucket}"
_ARTIFACTS: Final = f"{_BUCKET}/{KEY_PREFIX}*"
_PROBES: Final = _BUCKET + "/" + KEY_PREFIX + "${{$}}probe/*"
"""Where `init` tries the bucket; IAM spells a dollar sign `${$}`."""

_IN_TRANSACTIONS: Final = {"ForAnyValue:StringEquals": {"dynamodb:EnclosingOperation": ["TransactWriteItems"]}}


class Role(StrEnum):
    """Who runs with the policy."""

    SERVE = "serve"
    MIGRATE = "migrate"
    SWEEP = "sweep"
    INIT = "init"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Right:
    """Actions on one resource, for a purpose."""

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


def _write(*actions: str) -> _Right:
    return _Right(purpose="WriteItems", actions=actions, resource=_TABLE, condition=_IN_TRANSACTIONS)


_READ: Final = _Right(purpose="ReadItems", actions=["GetItem", "Query"], resource=_TABLE)
_READ_ALL: Final = _Right(purpose="ReadAllItems", actions=["Scan"], resource=_TABLE)
_FENCE: Final = _Right(purpose="FenceWrites", actions=["ConditionCheckItem"], resource=_TABLE)
"""Without a condition: it only ever happens in a transaction, and the reference gives it no EnclosingOperation."""

_READ_ARTIFACTS: Final = _Right(purpose="ReadArtifacts", actions=["GetObject", "GetObjectVersion"], resource=_ARTIFACTS)
_TELL_MISSING: Final = _Right(purpose="TellMissingFromForbidden", actions=["ListBucket"], resource=_BUCKET)

_FIND_MODELS: Final = _Right(purpose="FindModels", actions=["Query"], resource=_CATALOG)
_READ_MODELS: Final = _Right(purpose="ReadModels", actions=["BatchGetItem"], resource=_TABLE)

_SERVE: Final = (
    _READ,
    _FIND_MODELS,
    _READ_MODELS,
    _write("PutItem", "DeleteItem"),
    _FENCE,
    _READ_ARTIFACTS,
    _TELL_MISSING,
    _Right(
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
    _FENCE,
    _READ_ARTIFACTS,
    _TELL_MISSING,
    _Right(purpose="StoreArtifacts", actions=["PutObject", "AbortMultipartUpload"], resource=_ARTIFACTS),
)

_SWEEP: Final = (
    _READ,
    _READ_ALL,
    _write("PutItem", "DeleteItem"),
    _READ_ARTIFACTS,
    _TELL_MISSING,
    _Right(purpose="FindParts", actions=["ListBucketMultipartUploads"], resource=_BUCKET),
    _Right(
        purpose="RemoveArtifacts",
        actions=["DeleteObject", "DeleteObjectVersion", "AbortMultipartUpload"],
        resource=_ARTIFACTS,
    ),
)

_INIT: Final = (
    _READ,
    _READ_ALL,
    _write("PutItem"),
    _READ_ARTIFACTS,
    _TELL_MISSING,
    _Right(
        purpose="MakeTable",
        actions=[
            "CreateTable",
            "DescribeTable",
            "UpdateTable",
            "DescribeTimeToLive",
            "UpdateTimeToLive",
            "DescribeContinuousBackups",
            "UpdateContinuousBackups",
        ],
        resource=_TABLE,
    ),
    _Right(
        purpose="MakeBucket",
        actions=[
            "CreateBucket",
            "GetBucketVersioning",
            "PutBucketVersioning",
            "GetBucketPublicAccessBlock",
            "PutBucketPublicAccessBlock",
            "GetLifecycleConfiguration",
            "PutLifecycleConfiguration",
        ],
        resource=_BUCKET,
    ),
    _Right(purpose="ProbeBucket", actions=["PutObject", "DeleteObjectVersion"], resource=_PROBES),
    _Right(purpose="FindProbes", actions=["ListBucketVersions"], resource=_BUCKET),
)

_RIGHTS: Final[Mapping[Role, Sequence[_Right]]] = {
    Role.SERVE: _SERVE,
    Role.MIGRATE: _MIGRATE,
    Role.SWEEP: _SWEEP,
    Role.INIT: _INIT,
}


def policy(role: Role, *, table: str, bucket: str, account: str, region: str) -> dict[str, Any]:
    """The policy document of a role: each action in it is one that some operation of the role fails without.

    `sweep` and `init` also do `check`, `init` also `init --adopt --verify`; `migrate` goes in either direction.
    """
    names = {"table": table, "bucket": bucket, "account": account, "region": region}
    return {"Version": "2012-10-17", "Statement": [right.statement(**names) for right in _RIGHTS[role]]}
