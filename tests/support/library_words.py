"""Words that show which library has found a fault, and that say nothing to whoever made it."""

import re

_WORDS = re.compile(
    r"value error|assertion failed|(?:input|string|list|value|dictionary|number) should|unable to (?:parse|interpret)"
    r"|validation error|pydantic|\[type=|after validation|field required|extra inputs|should be a valid",
    re.IGNORECASE,
)


def library_words(text: str) -> list[str]:
    """Those that are in the text."""
    return _WORDS.findall(text)
