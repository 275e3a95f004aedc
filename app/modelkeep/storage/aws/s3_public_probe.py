"""Tries presigned URLs at the address that callers see: a signature covers the host, and a proxy may break it."""

import hashlib
import os
import ssl
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx

from modelkeep.domain.values import Digest, PresignedUrl
from modelkeep.kit.proxies import ProxySettings
from modelkeep.storage.aws.errors import Resource
from modelkeep.storage.aws.permissions import actions_of
from modelkeep.storage.aws.s3_clients import translate_errors
from modelkeep.storage.aws.s3_probe import scratch
from modelkeep.storage.objects import StoreUnavailableError

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

    from modelkeep.storage.aws.s3 import S3Store

_CONTENT: Final = b"modelkeep"
_DIGEST: Final = Digest(hashlib.sha256(_CONTENT).hexdigest())
_LIFE: Final = timedelta(minutes=2)
_TIMEOUT_SECONDS: Final = 10
_OK: Final = 200
_DENIED: Final = b"<Code>AccessDenied</Code>"


async def probe_public_address(client: "S3Client", bucket: str, store: "S3Store", *, public_url: str | None) -> str:
    """Read and store a small object by presigned URLs of the store; leaves nothing behind.

    Returns a sentence, also if nothing answers at `public_url`, which callers may reach though this machine does not.
    Raises `StoreUnavailableError` if the address is of no use. Reading comes first, so that nothing is ever stored at
    the address of another store.
    """
    with translate_errors(Resource("bucket", bucket, client.meta.region_name, client.meta.endpoint_url)):
        async with scratch(client, bucket) as key:
            await client.put_object(Bucket=bucket, Key=key, Body=_CONTENT, IfNoneMatch="*")
            signed = await store.presign_get(key, version_id=None, filename="probe", ttl=_LIFE)
            answer = await _send(signed)
            if answer is None:
                return _unreachable(signed, public_url)
            if answer.status_code != _OK or answer.content != _CONTENT:
                raise StoreUnavailableError(_refused(signed, answer, bucket))
        async with scratch(client, bucket) as key:
            signed = await store.presign_put(key, size=len(_CONTENT), sha256=_DIGEST, ttl=_LIFE)
            answer = await _send(signed, _CONTENT)
            if answer is None or answer.status_code != _OK or await store.stat(key) is None:
                raise StoreUnavailableError(_refused(signed, answer, bucket))
    return f"Presigned URLs are good at {_origin(signed)}."


async def _send(signed: PresignedUrl, content: bytes | None = None) -> httpx.Response | None:
    """The answer; `None` if there was none."""
    authorities = os.environ.get("AWS_CA_BUNDLE")
    verify = ssl.create_default_context(cafile=authorities) if authorities else httpx.create_ssl_context()
    proxy = ProxySettings.from_environment().find(signed.url)
    async with httpx.AsyncClient(
        timeout=_TIMEOUT_SECONDS, verify=verify, proxy=proxy.url if proxy else None, trust_env=False
    ) as http:
        try:
            return await http.request(signed.method, signed.url, headers=dict(signed.headers), content=content)
        except httpx.TransportError:
            return None


def _unreachable(signed: PresignedUrl, public_url: str | None) -> str:
    if public_url is None:
        raise StoreUnavailableError(
            f"The bucket is reached, and no URL of it: {_origin(signed)} does not answer. Look at names, certificates"
            " and proxies: a bucket with a dot in its name has no certificate, for one."
        )
    return (
        f"Nothing answers at {_origin(signed)} from here: see that callers reach S3 there, or correct"
        " MODELKEEP_S3_PUBLIC_URL and run `modelkeep init` again."
    )


def _refused(signed: PresignedUrl, answer: httpx.Response | None, bucket: str) -> str:
    where = f"A {signed.method} by presigned URL at {_origin(signed)}"
    if answer is None:
        return f"{where} gets no answer, though a GET does. Let proxies in between pass PUT and its headers."
    if _DENIED in answer.content:
        lacking = actions_of(f"{signed.method.capitalize()}Object", "bucket")
        return f"The role lacks {lacking} on bucket '{bucket}'. `modelkeep iam-policy` prints all it needs."
    match answer.status_code:
        case 403:
            return (
                f"{where} is refused (403). MODELKEEP_S3_PUBLIC_URL must be the address that S3 itself is asked at: the"
                " signature covers the host, so let proxies in between pass Host and path as they come."
            )
        case 404:
            return f"{where} finds no bucket '{bucket}', or another: correct MODELKEEP_S3_PUBLIC_URL."
        case status:
            return f"{where} is answered {status}, not as S3 does: correct MODELKEEP_S3_PUBLIC_URL, or what is there."


def _origin(signed: PresignedUrl) -> str:
    """The address without what is signed."""
    url = urlsplit(signed.url)
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
