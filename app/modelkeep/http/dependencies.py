"""The parameters of routes, by type: services, path and query parameters, headers, and the caller."""

import hashlib
import re
from collections.abc import Callable, Container
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Path, Query, Request
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from modelkeep.domain.artifact_paths import ArtifactPath
from modelkeep.domain.downloads import ANY_COMMIT
from modelkeep.domain.events import IdempotencyKey
from modelkeep.domain.values import MAX_VERSION, AliasName, ModelName, Ref, parse_ref
from modelkeep.http.context import Services, context_of
from modelkeep.schemas.downloads import Format
from modelkeep.services.access.caller import Caller as CallerInfo
from modelkeep.services.access.rules import RuleService
from modelkeep.services.access.tokens import TokenService
from modelkeep.services.aliases import AliasService
from modelkeep.services.events import EventService
from modelkeep.services.health import HealthService
from modelkeep.services.models import ModelService
from modelkeep.services.reading.downloads import DownloadService
from modelkeep.services.stages import StageService
from modelkeep.services.uploading.uploads import UploadService
from modelkeep.services.versions import VersionService

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,9}\Z")
REF_PATTERN: Final = r"^(?:v?[1-9][0-9]{0,9}|[A-Za-z][A-Za-z0-9._-]{0,63}|[0-9a-f]{40})$"
_ETAG: Final = re.compile(r'(?:W/)?"([0-9a-f]{40})"')


def _service(read: Callable[[Services], object]) -> Any:
    async def find(request: Request) -> object:
        return read(context_of(request.scope).services)

    return Depends(find)


Models = Annotated[ModelService, _service(lambda services: services.models)]
Versions = Annotated[VersionService, _service(lambda services: services.versions)]
Uploads = Annotated[UploadService, _service(lambda services: services.uploads)]
Stages = Annotated[StageService, _service(lambda services: services.stages)]
Aliases = Annotated[AliasService, _service(lambda services: services.aliases)]
Downloads = Annotated[DownloadService, _service(lambda services: services.downloads)]
Events = Annotated[EventService, _service(lambda services: services.events)]
Tokens = Annotated[TokenService, _service(lambda services: services.tokens)]
Rules = Annotated[RuleService, _service(lambda services: services.rules)]
Health = Annotated[HealthService, _service(lambda services: services.health)]


def _parse_number(text: str) -> int:
    if not _NUMBER.match(text) or int(text) > MAX_VERSION:
        raise ValueError(f"a version number is a whole number from 1 to {MAX_VERSION}")
    return int(text)


def _check_ref(text: str) -> str:
    parse_ref(text)
    return text


Model = Annotated[ModelName, Path(description="The model's name.")]
Alias = Annotated[AliasName, Path(description="The alias.")]
Number = Annotated[
    int,
    Path(description="The version's number, from 1."),
    BeforeValidator(_parse_number),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_VERSION}),
]
FilePath = Annotated[
    ArtifactPath,
    Path(description="The artifact's path in the version. Send slashes as they are: `%2F` is refused."),
]
Limit = Annotated[int, Query(ge=1, le=100, description="Entries per page.")]
Cursor = Annotated[
    str | None,
    Query(description="`next_cursor` of the previous page, to continue the list."),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}),
]


RefText = Annotated[
    str,
    Path(description="A version number (`3` or `v3`), `latest`, `production`, `staging`, an alias, or a commit."),
    AfterValidator(_check_ref),
    WithJsonSchema({"type": "string", "pattern": REF_PATTERN, "examples": ["production", "3", "champion"]}),
]


async def _read_ref(ref: RefText) -> Ref:
    return parse_ref(ref)


async def _read_version(version: RefText) -> Ref:
    return parse_ref(version)


RefParam = Annotated[Ref, Depends(_read_ref)]
VersionRefParam = Annotated[Ref, Depends(_read_version)]
"""A ref, at an address where other methods take a number: OpenAPI allows only one name for both."""


async def _bind_read_caller(request: Request) -> CallerInfo:
    return context_of(request.scope).bind_caller()


ReadCaller = Annotated[CallerInfo, Depends(_bind_read_caller)]
"""The caller of a route that changes no model, and so takes no idempotency key."""


async def _bind_caller(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="Repeats of this request with the same key take effect once, for 24 hours.",
            min_length=1,
            max_length=255,
            pattern=r"^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$",
        ),
    ] = None,
) -> CallerInfo:
    context, key = context_of(request.scope), None
    if idempotency_key is not None:
        principal = context.require_principal().name
        key = IdempotencyKey(
            name=_digest(principal, request.method, request.scope["path"], idempotency_key),
            request_hash=_digest(request.scope["query_string"].hex(), (await request.body()).hex()),
        )
    return context.bind_caller(key)


Caller = Annotated[CallerInfo, Depends(_bind_caller)]
"""The caller of a route that changes a model."""


IfNoneMatch = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        description="ETags of earlier answers; if one of them is still current, the answer is an empty 304.",
    ),
]


async def _read_known_commits(if_none_match: IfNoneMatch = None) -> Container[str]:
    return known_commits(if_none_match or "")


KnownCommits = Annotated[Container[str], Depends(_read_known_commits)]
Wait = Annotated[
    float,
    Query(
        ge=0,
        le=60,
        allow_inf_nan=False,
        description="Long polling with `If-None-Match`: seconds to wait for another version before 304.",
    ),
]
FormatParam = Annotated[
    Format,
    Query(
        alias="format",
        description="`json`; a config for `curl --parallel -K -`; a file for `sha256sum --check`; shell variables.",
    ),
]


def known_commits(if_none_match: str) -> Container[str]:
    """The commits among the ETags of an `If-None-Match` header; every commit for `*`."""
    etags = if_none_match.strip()
    return ANY_COMMIT if etags == "*" else frozenset(_ETAG.findall(etags))


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Whether an `If-None-Match` header names this ETag, or any."""
    known = [each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")]
    return known == ["*"] or etag in known


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
