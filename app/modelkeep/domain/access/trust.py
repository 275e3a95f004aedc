"""Trust: which issuers of identities are believed, and what an identity that they vouch for may do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from modelkeep.domain.access.grants import Grant

Claims = Mapping[str, Any]
"""What a verified JSON Web Token says of its bearer."""


RSA_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
ALGORITHMS: Final = RSA_ALGORITHMS | {"ES256", "ES384", "ES512", "EdDSA"}
"""All that a token may be signed with: whoever can verify such a signature cannot make one."""


class IssuerKind(StrEnum):
    """What an issuer's claims mean."""

    GITHUB = "github"
    GITLAB = "gitlab"
    KUBERNETES = "kubernetes"
    AWS = "aws"
    OIDC = "oidc"


_IMMUTABLE_CLAIMS: Final[Mapping[IssuerKind, frozenset[str]]] = {
    IssuerKind.GITHUB: frozenset({"repository_id", "repository_owner_id"}),
    IssuerKind.GITLAB: frozenset({"project_id", "namespace_id"}),
    IssuerKind.KUBERNETES: frozenset({"sub"}),
    IssuerKind.AWS: frozenset({"sub"}),
    IssuerKind.OIDC: frozenset({"sub"}),
}
"""Claims that nobody can take over: numbers that are never given again, or names that the issuer guards."""

_NAME_CLAIMS: Final[Mapping[IssuerKind, frozenset[str]]] = {
    IssuerKind.GITHUB: frozenset({"sub", "repository", "repository_owner", "job_workflow_ref"}),
    IssuerKind.GITLAB: frozenset({"sub", "project_path", "namespace_path", "ci_config_ref_uri"}),
    IssuerKind.KUBERNETES: frozenset(),
    IssuerKind.AWS: frozenset(),
    IssuerKind.OIDC: frozenset(),
}
"""Claims that single somebody out by a name, which may be registered again by somebody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Somebody whose signature on an identity is believed.

    `url` is the exact `iss`; a token must be for exactly one of `audiences`, and signed by one of `algorithms`. Keys
    are read from `jwks_url`, or from where the issuer's own discovery document says; `ca_file` holds further
    authorities for both.
    """

    name: str
    kind: IssuerKind
    url: str
    audiences: frozenset[str]
    algorithms: tuple[str, ...]
    jwks_url: str | None = None
    ca_file: Path | None = None

    @property
    def identity(self) -> tuple[str, IssuerKind, str]:
        """What two entries for one and the same issuer have in common."""
        return self.name, self.kind, self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRule:
    """Gives grants to each identity of an issuer whose claims are, for every claim in `match`, one of its values."""

    id: str
    issuer: str
    match: Mapping[str, frozenset[str]]
    grants: tuple[Grant, ...]

    def mismatch(self, claims: Claims) -> str | None:
        """The first claim that does not fit; `None` if all do."""
        return next((name for name, values in self.match.items() if _text(claims.get(name)) not in values), None)


@dataclass(frozen=True, slots=True)
class Trust:
    """All issuers and rules of a registry. Raises `ValueError` with a sentence where they do not fit together."""

    issuers: tuple[Issuer, ...] = ()
    rules: tuple[TrustRule, ...] = ()
    warnings: tuple[str, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        _check_unique("issuer", [issuer.name for issuer in self.issuers])
        _check_unique("issuer's url", [issuer.url for issuer in self.issuers])
        _check_unique("rule", [rule.id for rule in self.rules])
        kinds = {issuer.name: issuer.kind for issuer in self.issuers}
        warnings = [_weakness(rule, kinds) for rule in self.rules]
        object.__setattr__(self, "warnings", tuple(warning for warning in warnings if warning))

    def joined(self, other: "Trust") -> "Trust":
        """Both together, without what the other one calls by a name, or a URL, that is taken here.

        A rule of the other one is left out, too, if its issuer is another than the one of that name here.
        """
        names, urls = {issuer.name for issuer in self.issuers}, {issuer.url for issuer in self.issuers}
        ids, shared = {rule.id for rule in self.rules}, {issuer.identity for issuer in self.issuers}
        new = [issuer for issuer in other.issuers if issuer.name not in names and issuer.url not in urls]
        meant = {issuer.name for issuer in other.issuers if issuer in new or issuer.identity in shared}
        rules = [rule for rule in other.rules if rule.id not in ids and rule.issuer in meant]
        return Trust(self.issuers + tuple(new), self.rules + tuple(rules))

    def issuer(self, url: str) -> Issuer | None:
        """The issuer with exactly this `iss`."""
        return next((issuer for issuer in self.issuers if issuer.url == url), None)

    def rules_for(self, issuer: Issuer, claims: Claims) -> tuple[TrustRule, ...]:
        """The rules that an identity of this issuer fits."""
        return tuple(rule for rule in self.rules if rule.issuer == issuer.name and rule.mismatch(claims) is None)

    def grants_of(self, rules: Sequence[str]) -> tuple[Grant, ...]:
        """The grants of the rules with these ids that still exist."""
        return tuple(grant for rule in self.rules if rule.id in rules for grant in rule.grants)


def identity(issuer: Issuer, claims: Claims) -> str:
    """The name of the principal that the claims speak of."""
    return f"{issuer.name}:{claims['sub']}"


def _weakness(rule: TrustRule, kinds: Mapping[str, IssuerKind]) -> str | None:
    """A warning if a rule goes by names alone. Raises `ValueError` if it singles nobody out."""
    if rule.issuer not in kinds:
        raise ValueError(f"rule '{rule.id}' names an issuer '{rule.issuer}' that there is not")
    kind = kinds[rule.issuer]
    lasting, naming = _IMMUTABLE_CLAIMS[kind], _NAME_CLAIMS[kind]
    if lasting & rule.match.keys():
        return None
    if naming & rule.match.keys() or (kind is IssuerKind.OIDC and rule.match):
        better = " or ".join(sorted(lasting))
        return f"rule '{rule.id}' goes by names alone, which somebody else may get one day; match {better} as well"
    wanted = ", ".join(sorted(lasting | naming))
    raise ValueError(f"rule '{rule.id}' would trust everybody at this {kind} issuer; match at least one of {wanted}")


def _text(claim: Any) -> str | None:
    """A claim in the form in which rules write it: issuers disagree on whether ids and booleans are text."""
    if isinstance(claim, bool):
        return str(claim).lower()
    return str(claim) if isinstance(claim, (str, int)) else None


def _check_unique(what: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two things have the {what} '{name}'; each needs its own")
