"""Arguments that need reading: each mistake is a usage error that says what may be written."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

_NUMBER: Final = re.compile(r"v?([1-9][0-9]{0,9})\Z")


def version_number(text: str | int) -> int:
    """A version's number, as `4` or `v4`."""
    if found := _NUMBER.match(str(text)):
        return int(found[1])
    raise typer.BadParameter(f"'{text}' is no version number. Write it as 4 or v4.")


Model = Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")]
Number = Annotated[int, typer.Argument(metavar="VERSION", parser=version_number, help="A number: 4 or v4.")]
MaybeNumber = Annotated[
    int | None, typer.Argument(metavar="[VERSION]", parser=version_number, help="A number: 4 or v4.")
]
Comment = Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for the history.")]
Expect = Annotated[
    str | None,
    typer.Option(metavar="N|none", help="Do nothing unless this version, or none, is production now."),
]
Jobs = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Files, parts and ranges that move at a time.", show_default="8")
]


def precondition(expect: str | None) -> dict[str, Any]:
    """The keyword `expected_production`, if it was asked for."""
    if expect is None:
        return {}
    if expect == "none":
        return {"expected_production": None}
    try:
        return {"expected_production": version_number(expect)}
    except typer.BadParameter:
        _refuse("--expect", f"'{expect}' is neither a version number nor none.")


def pairs(tags: Sequence[str]) -> dict[str, str]:
    """Tags from `key=value` each."""
    for tag in tags:
        if not tag.partition("=")[0] or "=" not in tag:
            _refuse("--tag", f"'{tag}' is not of the form key=value.")
    return {name: value for name, _, value in (tag.partition("=") for tag in tags)}


def metrics_of(given: str | None) -> dict[str, float]:
    """Metrics from a JSON object of numbers, or from `@file` that holds one."""
    if given is None:
        return {}
    text = _content(given[1:]) if given.startswith("@") else given
    try:
        found = json.loads(text, parse_constant=_not_finite)
    except json.JSONDecodeError as error:
        _refuse("--metrics", f"not JSON at line {error.lineno}, column {error.colno}: {_lowered(error.msg)}.")
    except (ValueError, RecursionError):
        _refuse("--metrics", "not JSON that can be read.")
    if not isinstance(found, dict):
        _refuse("--metrics", 'metrics are a JSON object of numbers, like {"f1": 0.94}.')
    return {name: _number(name, value) for name, value in found.items()}


def _content(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except OSError as error:
        _refuse("--metrics", f"'{path}' cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        _refuse("--metrics", f"'{path}' is not a text file.")


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse("--metrics", f"'{name}' is {json.dumps(value)[:40]}, not a number.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        _refuse("--metrics", f"'{name}' is not a finite number.")
    return number


def _not_finite(word: str) -> NoReturn:
    _refuse("--metrics", f"{word} is not a finite number.")


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]


def _refuse(option: str, sentence: str) -> NoReturn:
    raise typer.BadParameter(sentence, param_hint=f"'{option}'") from None
