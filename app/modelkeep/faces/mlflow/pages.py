"""Pages of a search: the token says how many entries were seen."""

from collections.abc import Sequence
from typing import TypeVar

from modelkeep.faces.mlflow.errors import InvalidParameterError

Found = TypeVar("Found")


def page_of(found: Sequence[Found], token: str, size: int) -> tuple[Sequence[Found], str | None]:
    """One page, and the token of the next one if there is any. Raises `InvalidParameterError`."""
    if token and not (token.isascii() and token.isdigit() and len(token) <= len("1000000000")):
        raise InvalidParameterError("This page_token is none that a search answered. Begin again without it.")
    seen = int(token or 0)
    return found[seen : seen + size], str(seen + size) if seen + size < len(found) else None
