"""Issuers and trust rules as operators write them, in TOML or JSON; and grants, which tokens have as well."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.config import JsonDict

from modelkeep.domain.access.actions import ENTRIES
from modelkeep.domain.access.grants import ALL_MODELS, MODELS_PATTERN, Grant
from modelkeep.domain.access.trust import ALGORITHMS, Issuer, IssuerKind, Trust, TrustRule
from modelkeep.domain.values import is_loopback
from modelkeep.kit.validation_texts import in_plain_words
from modelkeep.schemas.base import Request

_NAME_PATTERN: Final = "[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?"
_NAME: Final = re.compile(rf"{_NAME_PATTERN}\Z")
_DEFAULT_ALGORITHMS: Final[Mapping[IssuerKind, tuple[str, ...]]] = {
    IssuerKind.GITHUB: ("RS256",),
    IssuerKind.GITLAB: ("RS256",),
    IssuerKind.KUBERNETES: ("RS256", "ES256"),
    IssuerKind.AWS: ("RS256", "ES384"),
    IssuerKind.OIDC: ("RS256",),
}
"""What each kind of issuer signs with, unless its entry names other algorithms."""


def _check_url(url: str) -> str:
    """Require HTTPS, except on loopback: over plain HTTP, a machine in the middle could supply its own keys."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname and not parts.username:
        return url
    if parts.scheme == "http" and parts.hostname and is_loopback(parts.hostname):
        return url
    raise ValueError("an issuer is reached by https:// (or by http:// on this very machine)")


def _check_name(name: str) -> str:
    if not _NAME.match(name):
        raise ValueError("a name here has 1 to 64 of a-z 0-9 . _ - and begins and ends with a letter or digit")
    return name


def _check_algorithm(name: str) -> str:
    if name not in ALGORITHMS:
        raise ValueError(f"tokens are signed with one of {', '.join(sorted(ALGORITHMS))}")
    return name


def _as_list(value: Any) -> Any:
    """A single value may be written without brackets."""
    return value if isinstance(value, list) else [value]


def _as_text(values: Any) -> Any:
    """Claims are compared as text; numbers and booleans may be written as such."""
    return [str(value).lower() if isinstance(value, bool | int) else value for value in _as_list(values)]


_NAME_SCHEMA: Final = {"type": "string", "pattern": f"^{_NAME_PATTERN}$"}
_URL_SCHEMA: Final = {
    "type": "string",
    "pattern": r"^https://[A-Za-z0-9.-]+(?:/[A-Za-z0-9._~/-]*)?$",
    "maxLength": 2048,
}
Name = Annotated[str, AfterValidator(_check_name), WithJsonSchema(_NAME_SCHEMA)]
Url = Annotated[str, AfterValidator(_check_url), Field(max_length=2048), WithJsonSchema(_URL_SCHEMA)]
Algorithm = Annotated[
    str, AfterValidator(_check_algorithm), WithJsonSchema({"type": "string", "enum": sorted(ALGORITHMS)})
]
Word = Annotated[str, WithJsonSchema({"type": "string", "enum": list(ENTRIES)})]
Words = Annotated[
    list[Word], Field(max_length=64, description="Roles and actions; also `stage.set:*`, and `*` for all.")
]
Pattern = Annotated[str, WithJsonSchema({"type": "string", "pattern": MODELS_PATTERN, "examples": ["*", "fraud-*"]})]
Patterns = Annotated[
    list[Pattern], Field(min_length=1, max_length=64, description="Model names; * stands for any characters.")
]
_Claim = str | int | bool
_HAS_ALLOW_OR_DENY: Final[JsonDict] = {
    "anyOf": [
        {"properties": {what: {"type": "array", "minItems": 1}}, "required": [what]} for what in ("allow", "deny")
    ]
}


class Grants(Request):
    """What is allowed and denied, on which models. Whatever is not allowed is denied; deny wins over allow."""

    model_config = ConfigDict(json_schema_extra=_HAS_ALLOW_OR_DENY)

    allow: Words = Field(default=[])
    deny: Words = Field(default=[])
    models: Patterns

    @model_validator(mode="after")
    def _has_allow_or_deny(self) -> Self:
        if not self.allow and not self.deny:
            raise ValueError("say what to allow, or what to deny")
        self.to_grants("")
        return self

    def to_grants(self, rule: str) -> tuple[Grant, ...]:
        """The domain's grants, with `rule` as their rule."""
        models = tuple(self.models)
        allowed = (Grant(rule=rule, entries=tuple(self.allow), models=models),) if self.allow else ()
        denied = (Grant(rule=rule, entries=tuple(self.deny), models=models, denies=True),) if self.deny else ()
        return allowed + denied


class IssuerEntry(Request):
    """An issuer whose tokens are accepted."""

    kind: Annotated[IssuerKind, Field(strict=False)] = IssuerKind.OIDC
    url: Url
    audience: Annotated[
        list[str],
        BeforeValidator(
            _as_list, json_schema_input_type=str | Annotated[list[str], Field(min_length=1, max_length=16)]
        ),
        Field(min_length=1, max_length=16),
    ]
    algorithms: Annotated[
        list[Algorithm], BeforeValidator(_as_list, json_schema_input_type=Algorithm | list[Algorithm])
    ] = Field(default=[])
    jwks_url: Url | None = None
    ca_file: Annotated[Path | None, Field(strict=False)] = None

    def to_issuer(self, name: str) -> Issuer:
        """The domain's issuer."""
        return Issuer(
            name=name,
            kind=self.kind,
            url=self.url,
            audiences=frozenset(self.audience),
            algorithms=tuple(self.algorithms) or _DEFAULT_ALGORITHMS[self.kind],
            jwks_url=self.jwks_url,
            ca_file=self.ca_file,
        )


class RuleEntry(Grants):
    """A trust rule: identities whose claims match have these grants."""

    id: Name
    issuer: Name
    match: dict[
        str,
        Annotated[
            list[str],
            BeforeValidator(
                _as_text, json_schema_input_type=_Claim | Annotated[list[_Claim], Field(min_length=1, max_length=64)]
            ),
            Field(min_length=1, max_length=64),
        ],
    ]
    models: Patterns = Field(default=[ALL_MODELS])

    def to_rule(self) -> TrustRule:
        """The domain's rule."""
        match = {claim: frozenset(values) for claim, values in self.match.items()}
        return TrustRule(id=self.id, issuer=self.issuer, match=match, grants=self.to_grants(self.id))


class AccessDocument(Request):
    """The whole document: `[issuers.<name>]` and `[[rules]]`."""

    issuers: dict[Name, IssuerEntry] = Field(default={})
    rules: list[RuleEntry] = Field(default=[])

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        self.to_trust()
        return self

    def to_trust(self) -> Trust:
        """The domain's trust."""
        return Trust(
            tuple(entry.to_issuer(name) for name, entry in self.issuers.items()),
            tuple(entry.to_rule() for entry in self.rules),
        )


def faults(error: ValidationError) -> Sequence[str]:
    """A sentence for each fault of a document, beginning with its place."""
    return [
        f"{'.'.join(map(str, fault['loc'])) or 'document'}: {in_plain_words(fault['msg'])}" for fault in error.errors()
    ]
