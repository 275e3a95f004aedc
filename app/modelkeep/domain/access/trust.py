"""Trust: which issuers of identities are accepted, and what their identities may do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from modelkeep.domain.access.grants import Grant

Claims = Mapping[str, Any]
"""The claims of a verified JSON Web Token."""


RSA_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
ALGORITHMS: Final = RSA_ALGORITHMS | {"ES256", "ES384", "ES512", "EdDSA"}
"""The accepted signature algorithms, all asymmetric: a key that verifies cannot sign."""


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
"""Claims that cannot pass to another identity: ids that are never reused, or names that the issuer protects."""

_NAME_CLAIMS: Final[Mapping[IssuerKind, frozenset[str]]] = {
    IssuerKind.GITHUB: frozenset({"sub", "repository", "repository_owner", "job_workflow_ref"}),
    IssuerKind.GITLAB: frozenset({"sub", "project_path", "namespace_path", "ci_config_ref_uri"}),
    IssuerKind.KUBERNETES: frozenset(),
    IssuerKind.AWS: frozenset(),
    IssuerKind.OIDC: frozenset(),
}
"""Claims that identify by a name, which another account may register later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """An issuer whose signed identities are accepted.

    `url` is the exact `iss`; a token must be for exactly one of `audiences`, and signed with one of `algorithms`. Keys
    are read from `jwks_url`, or from the URL in the issuer's discovery document; `ca_file` holds further certificate
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
        """Equal in two entries for the same issuer."""
        return self.name, self.kind, self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRule:
    """Gives grants to the identities of an issuer; each claim in `match` must have one of its values."""

    id: str
    issuer: str
    match: Mapping[str, frozenset[str]]
    grants: tuple[Grant, ...]

    def mismatch(self, claims: Claims) -> str | None:
        """The first claim that does not match; `None` if all do."""
        return next((name for name, values in self.match.items() if _text(claims.get(name)) not in values), None)

    def named(self, name: str) -> "TrustRule":
        """The same rule under another id, by which history names it."""
        return replace(self, id=name, grants=tuple(replace(grant, rule=name) for grant in self.grants))


@dataclass(frozen=True, slots=True)
class Trust:
    """All issuers and rules of a registry. Raises `ValueError` if they contradict each other.

    `warnings` holds a sentence for each rule that goes by names alone.
    """

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
        """Both together, and every rule of either that can match: none that denies is ever dropped.

        An issuer is its URL: where both declare one, this entry counts. One of `other` that has the name of another
        issuer here is left out with its rules, which can match nothing, since its identities are not accepted. A rule
        of `other` whose id is that of a different rule here becomes `table:<id>`. Raises `ValueError` as `Trust` does.
        """
        names = {issuer.url: issuer.name for issuer in self.issuers}
        new = [each for each in other.issuers if each.url not in names and each.name not in names.values()]
        names |= {issuer.url: issuer.name for issuer in new}
        issuers = {issuer.name: names[issuer.url] for issuer in other.issuers if issuer.url in names}
        rules = [replace(rule, issuer=issuers[rule.issuer]) for rule in other.rules if rule.issuer in issuers]
        ids = {rule.id for rule in self.rules}
        added = [rule.named(f"table:{rule.id}") if rule.id in ids else rule for rule in rules if rule not in self.rules]
        return Trust(self.issuers + tuple(new), self.rules + tuple(added))

    def clashes(self, other: "Trust") -> Iterator[str]:
        """A sentence for each name that stands for one thing in this trust, the file's, and another in the table's."""
        by_name = {issuer.name: issuer for issuer in self.issuers}
        by_url = {issuer.url: issuer for issuer in self.issuers}
        rules = {rule.id: rule for rule in self.rules}
        for issuer in other.issuers:
            if issuer.identity != by_name.get(issuer.name, issuer).identity:
                yield f"issuer '{issuer.name}' is another one in the file than in the table; rename one of them"
            elif issuer.identity != (same := by_url.get(issuer.url, issuer)).identity:
                yield f"issuer '{issuer.name}' of the table is '{same.name}' in the file; give it one name"
        for rule in other.rules:
            if rule != rules.get(rule.id, rule):
                yield f"rule '{rule.id}' is another one in the file than in the table; rename one of them"

    def issuer(self, url: str) -> Issuer | None:
        """The issuer with exactly this `iss`."""
        return next((issuer for issuer in self.issuers if issuer.url == url), None)

    def rules_for(self, issuer: Issuer, claims: Claims) -> tuple[TrustRule, ...]:
        """The rules that the claims of an identity of this issuer match."""
        return tuple(rule for rule in self.rules if rule.issuer == issuer.name and rule.mismatch(claims) is None)

    def grants_of(self, rules: Sequence[str]) -> tuple[Grant, ...]:
        """The grants of the rules with these ids that still exist."""
        return tuple(grant for rule in self.rules if rule.id in rules for grant in rule.grants)


def identity(issuer: Issuer, claims: Claims) -> str:
    """The name of the principal that the claims identify: `<issuer>:<sub>`."""
    return f"{issuer.name}:{claims['sub']}"


def _weakness(rule: TrustRule, kinds: Mapping[str, IssuerKind]) -> str | None:
    """A warning if a rule goes by names alone. Raises `ValueError` if it would match every identity of its issuer."""
    if rule.issuer not in kinds:
        raise ValueError(f"rule '{rule.id}' names the issuer '{rule.issuer}', which is not declared")
    kind = kinds[rule.issuer]
    immutable, names = _IMMUTABLE_CLAIMS[kind], _NAME_CLAIMS[kind]
    if immutable & rule.match.keys():
        return None
    if names & rule.match.keys() or (kind is IssuerKind.OIDC and rule.match):
        better = " or ".join(sorted(immutable))
        return f"rule '{rule.id}' goes by names alone, which somebody else may get one day; match {better} as well"
    wanted = ", ".join(sorted(immutable | names))
    raise ValueError(f"rule '{rule.id}' would trust everybody at this {kind} issuer; match at least one of {wanted}")


def _text(claim: Any) -> str | None:
    """A claim in the form that rules use: some issuers send ids and booleans as text, others do not."""
    if isinstance(claim, bool):
        return str(claim).lower()
    return str(claim) if isinstance(claim, (str, int)) else None


def _check_unique(what: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{what} '{name}' is declared twice; each must be unique")
