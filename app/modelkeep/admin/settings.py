"""Settings for commands: faults of the environment become sentences."""

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from modelkeep.kit.validation_texts import in_plain_words

if TYPE_CHECKING:
    from modelkeep.settings import Settings


def read_settings(**given: Any) -> "Settings":
    """Read the environment, but for what is given. Raises `ValueError` with a line for each fault."""
    from modelkeep.settings import Settings  # noqa: PLC0415 -- it needs what only the extra `server` installs

    try:
        return Settings(**given)
    except ValidationError as error:
        raise ValueError("\n".join(_sentence(fault["loc"], fault["msg"]) for fault in error.errors())) from None


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    variable = "".join(f"MODELKEEP_{str(part).upper()}: " for part in location)
    return f"{variable}{in_plain_words(message)}"
