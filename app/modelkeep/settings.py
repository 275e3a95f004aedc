"""Every variable of the service, its default, unit and meaning. AWS itself is configured by the standard `AWS_*`."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, IPvAnyNetwork, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_WEEK = 7 * 24 * 3600


def _split(given: Any) -> Any:
    return [part.strip() for part in given.split(",")] if isinstance(given, str) else given


class Settings(BaseSettings):
    """Read from `MODELKEEP_…` environment variables; the manual page `settings` has them as a table."""

    model_config = SettingsConfigDict(env_prefix="MODELKEEP_", env_ignore_empty=True, frozen=True)

    auth: Literal["none"] | None = Field(
        None,
        description="`none`: requests need no credentials, but their `Host` must be a loopback name or that of"
        " `MODELKEEP_PUBLIC_URL`; `serve` accepts that only where no other machine reaches it.",
    )
    insecure: bool = Field(
        False, description="With `MODELKEEP_AUTH=none`: serve although other machines may reach the service."
    )
    access_file: Path | None = Field(
        None, description="File of issuers and trust rules, TOML or JSON; those in the table count besides."
    )
    requests_per_10_seconds: int = Field(
        10_000,
        ge=1,
        le=10**9,
        description="Requests of one principal in 10 seconds, to each worker; more are answered 429.",
    )
    failed_logins_per_minute: int = Field(
        30,
        ge=1,
        le=10**9,
        description="Failed logins of one address (IPv6: one /64) in a minute, to each worker; more are answered 429.",
    )
    backend: Literal["aws", "local"] = Field("aws", description="Where everything is stored.")
    data_dir: Path = Field(Path("registry-data"), description="Folder of the backend `local`.")
    table: str = Field(
        "model-registry", pattern=r"^[A-Za-z0-9_.-]{3,255}$", description="DynamoDB table of the backend `aws`."
    )
    bucket: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        description="S3 bucket of the backend `aws`, which needs one.",
    )
    s3_public_url: str | None = Field(
        None, description="S3 as callers see it, if the service sees it at another address."
    )
    public_url: str = Field(
        "http://127.0.0.1:8000",
        description="The service as callers see it: the URLs of the bytes of `local` begin with it, and its host is"
        " answered where `MODELKEEP_AUTH=none`.",
    )
    upload_url_ttl_seconds: int = Field(3600, ge=60, le=_WEEK, description="Life of upload URLs, in seconds.")
    download_url_ttl_seconds: int = Field(900, ge=60, le=_WEEK, description="Life of download URLs, in seconds.")
    multipart_threshold_bytes: int = Field(
        100 * 1024 * 1024, ge=0, le=5 * 1024**3, description="Artifacts with more bytes go up in parts."
    )
    upload_ttl_seconds: int = Field(
        24 * 3600, ge=60, le=6 * 24 * 3600, description="Age at which an incomplete upload may be swept, in seconds."
    )
    trash_ttl_seconds: int = Field(
        _WEEK, ge=3600, description="Age at which a deleted version may be purged, in seconds."
    )
    stale_ttl_seconds: int = Field(
        900,
        ge=0,
        le=_WEEK,
        description="While the table cannot be read: age of downloads answered from memory, in seconds; 0 for none.",
    )
    shutdown_delay_seconds: float = Field(
        3, ge=0, le=60, description="After SIGTERM: how long `/readyz` answers 503 before connections end, in seconds."
    )
    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_split)] = Field(
        (),
        description="Addresses and CIDR ranges, with commas, whose `X-Forwarded-For` and `-Proto` are believed.",
    )
    hf_owners: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        ("registry", "sentence-transformers"),
        description="Owners, with commas, under which Hugging Face clients find models, as `registry/NAME`; `*` for"
        " any.",
    )
    hf_main: Literal["production", "latest"] = Field(
        "production", description="What Hugging Face clients get that name no revision, or `main`."
    )
    docs: bool = Field(False, description="Serve interactive documentation at `/docs`.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="The least severe log line.")
    log_format: Literal["json", "text"] = Field(
        "json", description="Log lines for programs, or for people, as `dev` writes them to a terminal."
    )

    @property
    def public_host(self) -> str:
        """The host of `public_url`, in lower case; "" if it has none."""
        return urlsplit(self.public_url).hostname or ""

    @model_validator(mode="after")
    def _needs_a_bucket(self) -> Self:
        if self.backend == "aws" and not self.bucket:
            raise ValueError("MODELKEEP_BUCKET is not set: name the S3 bucket, or set MODELKEEP_BACKEND=local")
        return self
