"""Shows and replaces the trust rules of the table, and explains what rules allow, for a caller of the service."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from modelkeep.domain.access.actions import Action
from modelkeep.domain.access.principals import ANONYMOUS
from modelkeep.domain.access.trust import Trust
from modelkeep.domain.errors import AuthenticationDisabledError, InvalidRequestError
from modelkeep.repositories.trust import TrustDocument, TrustDocuments
from modelkeep.services.access.caller import Caller
from modelkeep.services.access.explainer import Explainer, Explanation
from modelkeep.services.access.trust import TrustService


class RuleService:
    """The issuers and rules in the table. `parse` reads a new document, and raises `ValueError` for a faulty one."""

    def __init__(
        self, documents: TrustDocuments, trust: TrustService, explainer: Explainer, parse: Callable[[str], Trust]
    ) -> None:
        self._documents = documents
        self._trust = trust
        self._explainer = explainer
        self._parse = parse

    async def show(self, caller: Caller) -> TrustDocument | None:
        """The document in the table; `None` if none was ever set. Raises `ActionForbiddenError`."""
        caller.require(Action.TOKEN_ADMIN)
        return await self._documents.find()

    async def replace(self, text: str, caller: Caller) -> tuple[TrustDocument, Sequence[str]]:
        """Replace the document; return it, and warnings about its rules. Running services follow within 30 seconds.

        Raises `ActionForbiddenError` if anything is withheld from the caller: by a rule, it could give itself that.
        `AuthenticationDisabledError` if the caller is anonymous; `InvalidRequestError` with every fault, and with every
        name that means something else in the service's own file; `ContentionError`, `OutcomeUnknownError`.
        """
        caller.require_everything()
        if caller.principal is ANONYMOUS:
            raise AuthenticationDisabledError
        try:
            rules = self._parse(text)
        except ValueError as error:
            raise _invalid(str(error)) from None
        if clashes := self._trust.clashes_with(rules):
            raise _invalid("; ".join(clashes))
        before, now = await self._documents.find(), datetime.now(UTC)
        revision = before.revision if before else 0
        await self._documents.replace(text, revision=revision, now=now)
        return TrustDocument(text=text, revision=revision + 1, changed_at=now), rules.warnings

    async def explain(self, token: str, action: Action, model: str, caller: Caller) -> Explanation:
        """Why the bearer of a token may do something, or why not. Raises `ActionForbiddenError`, `UnavailableError`."""
        caller.require(Action.TOKEN_ADMIN)
        return await self._explainer.explain(token, action, model)


def _invalid(message: str) -> InvalidRequestError:
    return InvalidRequestError([{"location": "body", "message": message}])
