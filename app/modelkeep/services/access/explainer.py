"""Explains why a secret may do something, or why not, to the author of the rules."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from modelkeep.domain.access.actions import Action
from modelkeep.domain.access.grants import Grant, decide
from modelkeep.domain.access.tokens import parse_secret
from modelkeep.domain.access.trust import Claims, Trust, TrustRule, identity
from modelkeep.domain.errors import RegistryError
from modelkeep.identity.verifier import Verifier
from modelkeep.repositories.tokens import Tokens
from modelkeep.services.access.trust import TrustService


@dataclass(frozen=True, slots=True)
class Explanation:
    """Sentences, one a step; the last is the verdict."""

    allowed: bool
    sentences: Sequence[str]


class Explainer:
    """Evaluates a request's authorization and returns each step as a sentence."""

    def __init__(self, tokens: Tokens, trust: TrustService, verifier: Verifier) -> None:
        self._tokens = tokens
        self._trust = trust
        self._verifier = verifier

    async def explain(self, text: str, action: Action, model: str) -> Explanation:
        """Explain whether the bearer of a token may do the action on the model. Raises `UnavailableError`."""
        trust = await self._trust.current()
        secret = parse_secret(text)
        if secret is None:
            return await self._by_issuer(text, trust, action, model)
        token = await self._tokens.find(secret.id)
        if token is None or not token.admits(secret):
            return Explanation(allowed=False, sentences=["This is no token of this registry."])
        steps = [f"It is the token {token.id} of '{token.principal}'."]
        if token.revoked_at or token.expires_at <= datetime.now(UTC):
            ended = f"revoked at {token.revoked_at}" if token.revoked_at else f"expired at {token.expires_at}"
            return Explanation(allowed=False, sentences=[*steps, f"It was {ended}, so it is not accepted."])
        return _verdict(steps, trust.grants_of(token.rules) if token.rules else token.grants, action, model)

    async def _by_issuer(self, text: str, trust: Trust, action: Action, model: str) -> Explanation:
        try:
            issuer, claims = await self._verifier.verify(text, trust.issuer)
        except RegistryError as error:
            return Explanation(allowed=False, sentences=[f"The token is not accepted. {error}"])
        steps = [f"The token is valid and identifies '{identity(issuer, claims)}'."]
        rules = [rule for rule in trust.rules if rule.issuer == issuer.name]
        steps += [_match(rule, claims) for rule in rules]
        if not rules:
            steps.append(f"No rule names the issuer '{issuer.name}'.")
        matching = trust.rules_for(issuer, claims)
        return _verdict(steps, [grant for rule in matching for grant in rule.grants], action, model)


def _match(rule: TrustRule, claims: Claims) -> str:
    claim = rule.mismatch(claims)
    if claim is None:
        return f"Rule '{rule.id}' matches: it {', and '.join(_grants(rule.grants))}."
    expected = " or ".join(f"'{value}'" for value in sorted(rule.match[claim]))
    found = f"is '{claims[claim]}'" if claim in claims else "is missing"
    return f"Rule '{rule.id}' does not match: {claim} {found}, and must be {expected}."


def _grants(grants: Sequence[Grant]) -> Iterator[str]:
    for grant in grants:
        yield f"{'denies' if grant.denies else 'allows'} {', '.join(grant.entries)} on {', '.join(grant.models)}"


def _verdict(steps: list[str], grants: Sequence[Grant], action: Action, model: str) -> Explanation:
    allowed, rule = decide(grants, action, model)
    if allowed:
        verdict = f"{action} on '{model}' is allowed by '{rule}'."
    elif rule:
        verdict = f"{action} on '{model}' is denied by '{rule}', whatever else allows it."
    else:
        verdict = f"{action} on '{model}' is not allowed: no matching rule covers it."
    return Explanation(allowed=allowed, sentences=[*steps, verdict])
