"""Answers for programs: one JSON document, JSON Lines, CSV."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel

from modelkeep.cli.options import Output

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Characters that a terminal obeys; tabs and line breaks are none of them, as CSV quotes these."""

Record = Mapping[str, Any]


def formatted(found: Any, output: Output, *, columns: Iterable[str] = ()) -> Iterator[str]:
    """The lines of an answer in a form for programs.

    A list has one line for each entry in all forms but `json`, any other answer one line. CSV has a header before them,
    for an empty list of `columns`.
    """
    plain = _plain(found)
    if output is Output.JSON:
        yield json.dumps(plain, indent=2)
        return
    records = plain if isinstance(plain, list) else [plain]
    yield from _csv(records, columns) if output is Output.CSV else map(json.dumps, records)


def columns_of(schema: type[BaseModel]) -> list[str]:
    """The columns that a list of these has in CSV if it is empty: objects and lists of them have none."""
    fields = [(field.serialization_alias or name, field.annotation) for name, field in schema.model_fields.items()]
    return [name for name, annotation in fields if not any(map(_is_object, (annotation, *get_args(annotation))))]


def _is_object(annotation: Any) -> bool:
    return get_origin(annotation) is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel))


def _plain(found: Any) -> Any:
    if isinstance(found, BaseModel):
        return found.model_dump(mode="json")
    return [_plain(each) for each in found] if isinstance(found, list) else found


def _csv(records: Sequence[Record], columns: Iterable[str]) -> Iterator[str]:
    rows = [dict(_cells("", record)) for record in records]
    names = dict.fromkeys(name for row in rows for name in row) if rows else columns
    for row in [list(names), *([row.get(name, "") for name in names] for row in rows)]:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(row)
        yield line.getvalue()


def _cells(prefix: str, record: Record) -> Iterator[tuple[str, str]]:
    """The columns of a record: of an object in it a column for each field, of objects in a list none."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _cells(f"{prefix}{name}.", value)
        elif not _has_objects(value):
            yield f"{prefix}{name}", _CONTROL.sub(lambda found: ascii(found[0])[1:-1], _text(value))


def _has_objects(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(each, Mapping) for each in value)


def _text(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value)
