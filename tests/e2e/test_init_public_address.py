"""`init` reads and stores by presigned URLs at the address that callers see, and says what to do where that fails."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from tests.support.backends import aws_environment
from tests.support.faults.proxy import Fault, Forward, LostError, Proxy, Reply, Request
from tests.support.programs import Said, operating
from tests.support.servers import AwsServer, free_port

pytestmark = pytest.mark.one_backend


@pytest.fixture
def public(ministack_here: AwsServer) -> Iterator[Proxy]:
    """Where callers reach S3; `init` itself asks the server behind."""
    with Proxy().running() as proxy:
        proxy.behind = int(ministack_here.endpoint.rpartition(":")[2])
        yield proxy


@pytest.fixture
def variables(ministack_here: AwsServer, public: Proxy) -> dict[str, str]:
    return aws_environment(ministack_here) | {"MODELKEEP_S3_PUBLIC_URL": public.url}


@pytest.fixture
async def s3(ministack_here: AwsServer) -> AsyncIterator[Any]:
    async with ministack_here.session().client("s3", endpoint_url=ministack_here.endpoint) as client:
        yield client


async def init(variables: dict[str, str], s3: Any) -> Said:
    """Run it, and see that it leaves nothing behind, and says nothing of a signature."""
    said = await operating(variables, "init")
    left = await s3.list_object_versions(Bucket=variables["MODELKEEP_BUCKET"], Prefix="models/")
    assert not {"Versions", "DeleteMarkers"} & left.keys()
    assert "X-Amz" not in "".join([*said.out, *said.err])
    return said


async def test_a_good_address_is_said(variables: dict[str, str], s3: Any, public: Proxy) -> None:
    said = await init(variables, s3)
    assert (said.status, said.out[-2]) == (0, f"Presigned URLs are good at {public.url}.")
    assert [request.method for request in public.seen] == ["GET", "PUT"]


async def test_the_address_of_s3_itself_is_tried_as_well(variables: dict[str, str], s3: Any) -> None:
    del variables["MODELKEEP_S3_PUBLIC_URL"]
    assert (await init(variables, s3)).out[-2] == f"Presigned URLs are good at {variables['AWS_ENDPOINT_URL']}."


async def test_an_address_that_only_callers_may_reach_is_said_and_is_no_failure(
    variables: dict[str, str], s3: Any
) -> None:
    """In a container, the published port of S3 is another machine's."""
    variables["MODELKEEP_S3_PUBLIC_URL"] = nowhere = f"http://localhost:{free_port()}"
    said = await init(variables, s3)
    assert said.status == 0
    assert said.out[-2].startswith(f"Nothing answers at {nowhere} from here: see that callers reach S3 there")


def under_another_host(request: Request, forward: Forward) -> Reply:
    headers = request.headers | {"host": f"inside:{urlsplit('http://x:9000').port}"}
    return forward(replace(request, headers=headers))


def lost(_: Request, __: Forward) -> Reply:
    raise LostError


DENIED: Final = Reply(status=403, body=b"<Error><Code>AccessDenied</Code></Error>")
REFUSED: Final = Reply(status=403, body=b"<Error><Code>SignatureDoesNotMatch</Code></Error>")


@pytest.mark.parametrize(
    ("method", "fault", "sentence"),
    [
        ("GET", under_another_host, "A GET by presigned URL at {} is refused (403). MODELKEEP_S3_PUBLIC_URL must be"),
        ("GET", lambda *_: Reply(status=404), "A GET by presigned URL at {} finds no bucket"),
        (
            "GET",
            lambda *_: Reply(status=200, body=b"<html>"),
            "A GET by presigned URL at {} is answered 200, not as",
        ),
        ("GET", lambda *_: Reply(status=301), "A GET by presigned URL at {} is answered 301, not as S3"),
        (
            "GET",
            lambda *_: DENIED,
            "The role lacks s3:GetObject (or kms:Decrypt on the key that encrypts it) on bucket",
        ),
        ("PUT", lambda *_: REFUSED, "A PUT by presigned URL at {} is refused (403)"),
        ("PUT", lambda *_: Reply(status=200), "A PUT by presigned URL at {} is answered 200, not as S3"),
        ("PUT", lost, "A PUT by presigned URL at {} gets no answer, though a GET does"),
    ],
)
async def test_an_address_of_no_use_fails_and_says_what_to_do(
    variables: dict[str, str], s3: Any, public: Proxy, method: str, fault: Fault, sentence: str
) -> None:
    public.when(method, "", fault)
    said = await init(variables, s3)
    assert said.status != 0
    assert said.err[0].startswith(sentence.format(public.url))
    assert said.out[-1].startswith("The store refuses to overwrite")
