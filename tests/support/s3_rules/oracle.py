"""Holds requests against S3's rules, those above all that no emulator holds them against.

It shares nothing with the code that signs: signatures are recomputed by `sigv4`. It knows only the requests that it is
shown, so the size of a part counts once the part has been seen on its way in.
"""

import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from xml.etree import ElementTree as ET

from tests.support.faults.proxy import Reply, Request
from tests.support.s3_rules import sigv4
from tests.support.s3_rules.errors import S3Error
from tests.support.s3_rules.sigv4 import ALGORITHM, UNSIGNED, Scope

LONGEST_LIFE: Final = 604_800
SMALLEST_PART: Final = 5 * 1024 * 1024
MAX_PARTS: Final = 10_000
_SKEW: Final = timedelta(minutes=15)
_QUERY: Final = frozenset(
    {
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-Signature",
        "X-Amz-SignedHeaders",
    }
)
_SIGV2: Final = frozenset({"AWSAccessKeyId", "Signature"})
_AUTHORIZATION: Final = re.compile(
    rf"{ALGORITHM} Credential=([^, ]+), ?SignedHeaders=([^, ]+), ?Signature=([0-9a-f]{{64}})"
)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_CHECKSUM: Final = "x-amz-checksum-sha256"
_PAYLOAD: Final = "x-amz-content-sha256"


@dataclass
class _Multipart:
    """What has been seen of an open multipart object."""

    algorithm: str | None
    sizes: dict[int, int] = field(default_factory=dict)


class Referee:
    """Refuses what S3 would refuse, and keeps every refusal in `violations`.

    `smallest_part` is S3's 5 MiB unless a test wants parts to be small.
    """

    def __init__(self, access_key: str, secret_key: str, region: str) -> None:
        self.smallest_part = SMALLEST_PART
        self.violations: list[str] = []
        self._access_key = access_key
        self._secret_key = secret_key
        self._region = region
        self._multiparts: dict[str, _Multipart] = {}

    def judge(self, request: Request, operation: str, named: Mapping[str, Any]) -> None:
        """Raise the `S3Error` that S3 would answer; return if it would do as it is told."""
        try:
            self._authenticate(request)
            self._check_body(request)
            if operation == "UploadPart":
                _check_number(named["partNumber"])
            if operation == "CompleteMultipartUpload":
                self._check_parts(request, self._multiparts.get(named["uploadId"]))
        except S3Error as error:
            self.violations.append(f"{operation} {named['Bucket']}/{named['Key']}: {error}")
            raise

    def note(self, request: Request, operation: str, named: Mapping[str, Any], reply: Reply) -> None:
        """Remember what was done."""
        if reply.status != 200:
            return
        if operation == "CreateMultipartUpload":
            multipart_id = _texts(reply.body, "UploadId")[0]
            self._multiparts[multipart_id] = _Multipart(request.headers.get("x-amz-checksum-algorithm"))
        if operation == "UploadPart" and named["uploadId"] in self._multiparts:
            self._multiparts[named["uploadId"]].sizes[int(named["partNumber"])] = len(request.body)

    # -- who asks

    def _authenticate(self, request: Request) -> None:
        query = dict(sigv4.parameters(request.query))
        by_header = "authorization" in request.headers
        by_query = [names for names in (_SIGV2, {"X-Amz-Algorithm", "X-Amz-Signature"}) if not names.isdisjoint(query)]
        if by_header + len(by_query) > 1:
            raise S3Error(
                400,
                "InvalidArgument",
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string"
                " parameter or the Authorization header should be specified",
            )
        if _SIGV2 in by_query or request.headers.get("authorization", "").startswith("AWS "):
            raise S3Error(
                400,
                "InvalidRequest",
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
            )
        if by_header:
            self._check_header(request)
        elif by_query:
            self._check_query(request, query)
        else:
            raise S3Error(403, "AccessDenied", "Access Denied")

    def _check_query(self, request: Request, query: Mapping[str, str]) -> None:
        if missing := _QUERY - set(query):
            raise _bad_query(f"Query-string authentication version 4 requires {', '.join(sorted(missing))}.")
        if query["X-Amz-Algorithm"] != ALGORITHM:
            raise _bad_query(f"X-Amz-Algorithm only supports {ALGORITHM}")
        life = _life(query["X-Amz-Expires"])
        signed_at = _time(query["X-Amz-Date"])
        if signed_at is None:
            raise _bad_query("X-Amz-Date must be in the ISO8601 Long Format yyyyMMdd'T'HHmmss'Z'")
        now = datetime.now(UTC)
        if now + _SKEW < signed_at:
            raise S3Error(403, "AccessDenied", "Request is not yet valid")
        if now > signed_at + life:
            raise S3Error(403, "AccessDenied", "Request has expired")
        signed = query["X-Amz-SignedHeaders"].split(";")
        self._check_signature(
            request, query["X-Amz-Credential"], signed, query["X-Amz-Date"], UNSIGNED, query["X-Amz-Signature"]
        )

    def _check_header(self, request: Request) -> None:
        found = _AUTHORIZATION.fullmatch(request.headers["authorization"])
        date = request.headers.get("x-amz-date", "")
        signed_at = _time(date)
        if found is None:
            raise S3Error(400, "AuthorizationHeaderMalformed", "The authorization header that you provided is invalid.")
        if signed_at is None:
            raise S3Error(403, "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
        if abs(datetime.now(UTC) - signed_at) > _SKEW:
            raise S3Error(403, "RequestTimeTooSkewed", "The difference between the request time and ours is too large.")
        payload = request.headers.get(_PAYLOAD)
        if payload is None:
            raise S3Error(400, "InvalidRequest", f"Missing required header for this request: {_PAYLOAD}")
        if payload != UNSIGNED and not _DIGEST.fullmatch(payload):
            raise S3Error(400, "InvalidArgument", f"{_PAYLOAD} must be {UNSIGNED} or a valid sha256 value.")
        self._check_signature(request, found[1], found[2].split(";"), date, payload, found[3])

    def _check_signature(
        self, request: Request, credential: str, signed: Sequence[str], date: str, payload: str, given: str
    ) -> None:
        scope = Scope.read(credential)
        if scope is None or (scope.region, scope.service, scope.end) != (self._region, "s3", "aws4_request"):
            raise _bad_query(f"Error parsing the credential '{credential}'; expecting '{self._region}/s3/aws4_request'")
        if scope.access_key != self._access_key:
            raise S3Error(
                403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."
            )
        unsigned = {name for name in request.headers if name.startswith("x-amz-")} | {"host"}
        if missing := unsigned - set(signed):
            raise S3Error(
                403,
                "AccessDenied",
                f"There were headers present in the request which were not signed: {', '.join(sorted(missing))}",
            )
        wanted = sigv4.signature(request, scope, self._secret_key, date=date, signed=signed, payload=payload)
        absent = [name for name in signed if name not in request.headers]
        if absent or scope.date != date[:8] or not hmac.compare_digest(wanted, given):
            raise S3Error(
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided."
                + (f" Signed and missing: {', '.join(absent)}." if absent else ""),
            )

    # -- what is sent

    def _check_body(self, request: Request) -> None:
        if request.method == "PUT" and "content-length" not in request.headers:
            raise S3Error(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
        digest = sha256(request.body)
        payload = request.headers.get(_PAYLOAD, UNSIGNED)
        if payload not in {UNSIGNED, digest.hexdigest()}:
            raise S3Error(
                400,
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )
        checksum = request.headers.get(_CHECKSUM)
        if checksum is None or request.method != "PUT":
            return
        if not _is_digest(checksum):
            raise S3Error(400, "InvalidRequest", f"Value for {_CHECKSUM} header is invalid.")
        if checksum != b64encode(digest.digest()).decode():
            raise S3Error(400, "BadDigest", "The SHA256 you specified did not match the calculated checksum.")

    def _check_parts(self, request: Request, multipart: _Multipart | None) -> None:
        numbers = [int(number) for number in _texts(request.body, "PartNumber")]
        if not numbers:
            raise S3Error(400, "MalformedXML", "The XML you provided was not well-formed.")
        if numbers != sorted(set(numbers)):
            raise S3Error(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
        for number in numbers:
            _check_number(str(number))
        if multipart is None:
            return
        if multipart.algorithm == "SHA256" and len(_texts(request.body, "ChecksumSHA256")) != len(numbers):
            raise S3Error(
                400,
                "InvalidRequest",
                "The upload was created using a sha256 checksum. The complete request must include the checksum for"
                " each part.",
            )
        sizes = [multipart.sizes[number] for number in numbers if number in multipart.sizes]
        if len(sizes) < len(numbers):
            return
        if any(size < self.smallest_part for size in sizes[:-1]):
            raise S3Error(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        declared = request.headers.get("x-amz-mp-object-size")
        if declared is not None and int(declared) != sum(sizes):
            raise S3Error(
                400, "InvalidRequest", "The provided 'x-amz-mp-object-size' header does not match what was computed."
            )


def _bad_query(message: str) -> S3Error:
    return S3Error(400, "AuthorizationQueryParametersError", message)


def _life(text: str) -> timedelta:
    if not re.fullmatch(r"-?[0-9]+", text):
        raise _bad_query("X-Amz-Expires should be a number")
    if int(text) < 0:
        raise _bad_query("X-Amz-Expires must be non-negative")
    if int(text) > LONGEST_LIFE:
        raise _bad_query(f"X-Amz-Expires must be less than a week (in seconds); it must be less than {LONGEST_LIFE}")
    return timedelta(seconds=int(text))


def _time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _check_number(text: str) -> None:
    if not text.isdigit() or not 1 <= int(text) <= MAX_PARTS:
        raise S3Error(400, "InvalidArgument", f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive")


def _is_digest(checksum: str) -> bool:
    try:
        return len(b64decode(checksum, validate=True)) == 32
    except Base64Error:
        return False


def _texts(document: bytes, name: str) -> list[str]:
    """The texts of the elements of this name, wherever they stand; none if it is no document."""
    try:
        root = ET.fromstring(document)
    except ET.ParseError:
        return []
    return [element.text or "" for element in root.iter() if element.tag.rpartition("}")[2] == name]
