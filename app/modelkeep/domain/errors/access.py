"""Who asks is not recognised, may not do it, or does it too often."""

from dataclasses import dataclass

from modelkeep.domain.errors.base import RegistryError


@dataclass(eq=False)
class UnauthenticatedError(RegistryError):
    """Nobody has been recognised."""


@dataclass(eq=False)
class CredentialsRequiredError(UnauthenticatedError):
    """No credentials came with the request."""

    def __str__(self) -> str:
        return (
            "Say who you are: send Authorization: Bearer, with a registry token or a token of a trusted issuer. The"
            " client takes it from MODELKEEP_TOKEN, MODELKEEP_TOKEN_FILE or GitHub (permissions: id-token: write)."
        )


@dataclass(eq=False)
class InvalidTokenError(UnauthenticatedError):
    """The token proves nothing here. `reason` is a sentence for people, without anything out of the token."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class TokenExpiredError(UnauthenticatedError):
    """The token was good until a moment that has passed."""

    expired_at: str

    def __str__(self) -> str:
        return f"The token expired at {self.expired_at}. Get a new one."


@dataclass(eq=False)
class ForbiddenError(RegistryError):
    """Not allowed."""


@dataclass(eq=False)
class ActionForbiddenError(ForbiddenError):
    """The caller is known, and no rule lets it do this. `model` is `*` for what is not about models."""

    action: str
    model: str
    principal: str

    def __str__(self) -> str:
        return f"'{self.principal}' may not do {self.action} on '{self.model}'. Ask who runs the registry for a grant."


@dataclass(eq=False)
class NoTrustRuleError(ForbiddenError):
    """The identity is proved, and no trust rule speaks of it."""

    principal: str

    def __str__(self) -> str:
        return (
            f"The token is good, and no trust rule speaks of '{self.principal}'. `modelkeep access explain` says"
            " which claim of which rule does not fit."
        )


@dataclass(eq=False)
class SignatureMismatchError(ForbiddenError):
    """The URL was altered, cut short, or is used with another method than it was signed for."""

    def __str__(self) -> str:
        return "This URL is not as it was signed. Use it whole, with the method it came with, or ask for a new one."


@dataclass(eq=False)
class SignedHeaderMismatchError(ForbiddenError):
    """A header that belongs to the URL is missing or different."""

    header: str

    def __str__(self) -> str:
        return f"The header {self.header} is not the one that came with this URL. Send the headers exactly as given."


@dataclass(eq=False)
class UrlExpiredError(ForbiddenError):
    """The URL was good until a moment that has passed."""

    expired_at: str

    def __str__(self) -> str:
        return f"This URL expired at {self.expired_at}. Ask for a new one."


@dataclass(eq=False)
class TooManyRequestsError(RegistryError):
    """Over the rate limit of a principal, or of failed logins from an address. Nothing was done."""

    what: str
    seconds: int

    def __str__(self) -> str:
        return f"Too many {self.what}. Try again in {self.seconds} s."

    @property
    def retry_after(self) -> int:
        """Seconds after which a repeat makes sense."""
        return self.seconds
