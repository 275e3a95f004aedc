"""Reads a document of issuers and trust rules, from a file or as text."""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modelkeep.domain.access.principals import is_reserved
from modelkeep.domain.access.trust import Trust
from modelkeep.schemas.access import AccessDocument, faults


def read(path: Path) -> Trust:
    """The trust of a file: TOML if it ends in `.toml`, else JSON. Raises `ValueError` that names each fault."""
    return load(path).to_trust()


def load(path: Path) -> AccessDocument:
    """The document of a file. Raises `ValueError` with a sentence for each fault."""
    try:
        text = path.read_text(encoding="utf-8")
        document = _document(json.dumps(tomllib.loads(text), default=str) if path.suffix == ".toml" else text)
        _check_names(document)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return document


def parse_new(text: str) -> Trust:
    """The trust of a JSON text that is to be stored. Raises `ValueError` with a sentence for each fault."""
    document = _document(text)
    _check_names(document)
    return document.to_trust()


def parse(text: str) -> Trust:
    """The trust of a JSON text, in which an earlier release may have written a reserved name.

    Raises `ValueError` with a sentence for each fault.
    """
    return _document(text).to_trust()


def _document(text: str) -> AccessDocument:
    try:
        document = AccessDocument.model_validate_json(text)
    except ValidationError as error:
        raise ValueError("; ".join(faults(error))) from None
    json.loads(text, object_pairs_hook=_refuse_duplicates)
    return document


def _check_names(document: AccessDocument) -> None:
    taken = [name for name in (*document.issuers, *(rule.id for rule in document.rules)) if is_reserved(name)]
    if taken:
        raise ValueError("; ".join(f"history uses '{name}' for the registry itself; rename it" for name in taken))


def _refuse_duplicates(members: Sequence[tuple[str, Any]]) -> None:
    """Refuse duplicate members: JSON readers keep one of the two, and the dropped one may be the one that denies."""
    names = [name for name, _ in members]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"'{name}' is there twice in one object; write it once")
