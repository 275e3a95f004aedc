"""What does a presigned URL cost the event loop? botocore takes some tenths of a millisecond; ours takes a tenth of it.

    uv run python -m tests.benchmarks.presigning --rounds 9

In turn, the other first every other round: URLs of an upload, of a part and of a download from the store, and the same
from the aioboto3 client that it would otherwise ask, with the same configuration and the session token of a role.
Nothing is sent. Printed: medians over the rounds of microseconds of processor time a URL, and the ratio.
"""

import argparse
import asyncio
import os
import platform
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import aioboto3

from modelkeep.domain.values import Digest
from modelkeep.storage.aws.s3 import S3Store
from modelkeep.storage.objects import attachment

ENDPOINT = "https://s3.eu-central-1.amazonaws.com"
BUCKET = "models"
KEY = "models/fraud-detector/v17/weights/model v1+final.safetensors"
SIZE = 64 * 1024**2
DIGEST = Digest("5c" * 32)
UPLOAD = "2~MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw"
VERSION = "3sL4kqtJlcpXroDTDmJ_rmSpXd3dIbrHY"
LIFE = timedelta(minutes=15)
TOKEN = "IQoJb3JpZ2luX2VjE//" * 50
BATCH = 100
"""How often each of the three is signed in a round."""


async def sign_ours(store: S3Store) -> None:
    await store.presign_put(KEY, size=SIZE, sha256=DIGEST, ttl=LIFE)
    await store.presign_part(KEY, UPLOAD, 7, size=SIZE, sha256=DIGEST, ttl=LIFE)
    await store.presign_get(KEY, version_id=VERSION, filename="model.safetensors", ttl=LIFE)


async def sign_by_botocore(client: Any) -> None:
    where = {"Bucket": BUCKET, "Key": KEY}
    body = {"ContentLength": SIZE, "ChecksumSHA256": DIGEST.as_s3_checksum()}
    answer = {
        "ResponseContentDisposition": attachment("model.safetensors"),
        "ResponseContentType": "application/octet-stream",
        "VersionId": VERSION,
    }
    part = {"UploadId": UPLOAD, "PartNumber": 7}
    for operation, parameters in (
        ("put_object", {**where, **body, "IfNoneMatch": "*"}),
        ("upload_part", {**where, **part, **body}),
        ("get_object", {**where, **answer}),
    ):
        await client.generate_presigned_url(operation, Params=parameters, ExpiresIn=int(LIFE.total_seconds()))


async def cost(sign: Callable[[], Awaitable[None]]) -> float:
    """Seconds of processor time a URL."""
    began = time.process_time()
    for _ in range(BATCH):
        await sign()
    return (time.process_time() - began) / BATCH / 3


async def compare(rounds: int) -> tuple[float, float]:
    """Seconds of processor time a URL, ours and botocore's: medians over the rounds."""
    session = aioboto3.Session("AKIDEXAMPLE", "secret", TOKEN, region_name="eu-central-1")
    async with S3Store.open(session, BUCKET, public_url=None, endpoint_url=ENDPOINT) as store:
        cases = (partial(sign_ours, store), partial(sign_by_botocore, store._client))
        costs: tuple[list[float], list[float]] = ([], [])
        for sign in cases:
            await sign()
        for number in range(rounds):
            for case in (0, 1) if number % 2 else (1, 0):
                costs[case].append(await cost(cases[case]))
    return statistics.median(costs[0]), statistics.median(costs[1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    ours, botocore = asyncio.run(compare(given.rounds))
    print(f"ours {ours * 1e6:.1f} us a URL, botocore {botocore * 1e6:.0f} us: {botocore / ours:.1f} times as fast")


if __name__ == "__main__":
    main()
