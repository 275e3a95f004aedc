"""What a bucket is set to, for the check: nothing is changed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from modelkeep.domain.artifacts import KEY_PREFIX
from modelkeep.storage.aws.errors import Resource, code_of
from modelkeep.storage.aws.inspection import reading_setting
from modelkeep.storage.aws.s3_setup import lifecycle, open_access

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client


class BucketInspection:
    """Reads settings. Each method may raise `SettingUnreadableError`, `SettingUnsupportedError`, `UnavailableError`."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._resource = Resource("bucket", bucket, client.meta.region_name, client.meta.endpoint_url)

    async def versioning(self) -> str:
        """`on`, `suspended` or `off`."""
        with reading_setting(self._resource):
            answer = await self._client.get_bucket_versioning(Bucket=self._bucket)
        return {"Enabled": "on", "Suspended": "suspended"}.get(answer.get("Status", ""), "off")

    async def ends_unfinished_uploads(self) -> bool:
        """Whether a lifecycle rule, of the registry or not, aborts old multipart uploads of all artifacts."""
        with reading_setting(self._resource):
            answer = await lifecycle(self._client, self._bucket)
        return any(map(_ends_unfinished_uploads, answer.get("Rules", [])))

    async def open_access(self) -> tuple[str, ...]:
        """The settings that would block public access and are off."""
        with reading_setting(self._resource):
            return await open_access(self._client, self._bucket)

    async def has_public_policy(self) -> bool:
        """Whether S3 holds the bucket's policy for public."""
        with reading_setting(self._resource):
            try:
                answer = await self._client.get_bucket_policy_status(Bucket=self._bucket)
            except ClientError as error:
                if code_of(error) != "NoSuchBucketPolicy":
                    raise
                return False
        return answer.get("PolicyStatus", {}).get("IsPublic", False)


def _ends_unfinished_uploads(rule: Mapping[str, Any]) -> bool:
    """S3 takes no such rule with a filter by tags or sizes; the prefix of an old rule is outside of its filter."""
    prefix = rule.get("Filter", {}).get("Prefix") or rule.get("Prefix") or ""
    days = rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation")
    return rule.get("Status") == "Enabled" and days is not None and KEY_PREFIX.startswith(prefix)
