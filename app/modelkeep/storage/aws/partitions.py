"""The partitions of AWS, of which each has ARNs and domain names of its own."""

import re
from typing import Final

from botocore.exceptions import BotoCoreError
from botocore.session import get_session

from modelkeep.storage.aws.session import new_session

_S3_HOST: Final = re.compile(
    r"s3([.-].*)?\."
    r"(amazonaws\.(com|com\.cn|eu)|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)\Z"
)
"""The standard domains of botocore's partitions; the unit tests hold them against its data."""


def partition_of(region: str) -> str:
    """The partition of a region; of `*`, that of the configured region, or `aws` if there is none.

    Raises `ValueError` for what is no region; `UnavailableError` for a profile that does not exist.
    """
    name = (new_session().region_name or "") if region == "*" else region
    try:
        return get_session().get_partition_for_region(name) if name else "aws"
    except BotoCoreError:
        raise ValueError(f"'{name}' is no AWS region: one is called eu-west-1, cn-north-1 or eusc-de-east-1") from None


def is_s3_host(host: str) -> bool:
    """Whether this is a host of S3 on AWS, in any partition, on which a bucket is a part of the host's name."""
    return _S3_HOST.match(host) is not None
