"""What pydantic says of a value, in the words of this program."""

import re
from collections.abc import Mapping
from typing import Final

_OURS: Final[Mapping[str, str]] = {
    r"(?:Value error|Assertion failed), ": "",
    r"\b[A-Z][a-z]+ should be a valid (?:integer|int)\b": "it must be a whole number",
    r"\b[A-Z][a-z]+ should be a valid ": "it must be a valid ",
    r"\b[A-Z][a-z]+ should (be|have|match)\b": r"it must \1",
    r", unable to (?:parse string as an? [a-z]+|interpret input)": "",
    r" after validation\b": "",
    r"\bField required\b": "it is missing",
    r"\bExtra inputs are not permitted\b": "there is no such field",
}


def in_plain_words(message: str) -> str:
    """The message without the library's own words, such as `Value error, ` before ours and `Input should be`."""
    for theirs, ours in _OURS.items():
        message = re.sub(theirs, ours, message)
    return message
