"""The times and sizes that an operator sets for the services."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits:
    """How long URLs, uploads and trash live; `multipart_threshold` is in bytes: a larger artifact goes up in parts."""

    upload_url_ttl: timedelta
    download_url_ttl: timedelta
    upload_ttl: timedelta
    trash_ttl: timedelta
    multipart_threshold: int
