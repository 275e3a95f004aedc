"""What an operator may tune of the services."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits:
    """Lives of URLs, uploads and trash; `multipart_threshold` in bytes."""

    upload_url_ttl: timedelta
    download_url_ttl: timedelta
    upload_ttl: timedelta
    trash_ttl: timedelta
    multipart_threshold: int
