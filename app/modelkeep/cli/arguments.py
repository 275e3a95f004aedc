"""Arguments and options that are parsed: a mistake is a usage error that says what is accepted."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

from modelkeep.cli import completion
from modelkeep.domain.values import check_metric

_NUMBER: Final = re.compile(r"v?([1-9][0-9]{0,9})\Z")


def version_number(text: str | int) -> int:
    """The number of a version, from `4` or `v4`. Raises `BadParameter`."""
    if parsed := _NUMBER.match(str(text)):
        return int(parsed[1])
    raise typer.BadParameter(f"'{text}' is no version number. Write it as 4 or v4.")


def parse_time(text: str | datetime) -> datetime:
    """A day's beginning, or a time; in UTC unless it has an offset. Raises `BadParameter`."""
    try:
        parsed = datetime.fromisoformat(str(text))
    except ValueError:
        raise typer.BadParameter(f"'{text}' is no time. Write it as 2026-01-31 or 2026-01-31T12:00:00Z.") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def model_alone(name: str | None) -> str | None:
    """The name of a model. Raises `BadParameter` for `NAME@REF`, which names a version of it."""
    model, at, _ = (name or "").partition("@")
    if at and model:
        _usage_error("NAME", f"this is for a model, and '{name}' is a version of one. Write {model}.")
    return name


Model = Annotated[
    str,
    typer.Argument(metavar="NAME", help="The model's name.", autocompletion=completion.model_of, callback=model_alone),
]
Comment = Annotated[str | None, typer.Option(metavar="TEXT", help="Why; kept in the history.")]
Expect = Annotated[
    str | None,
    typer.Option(metavar="N|none", help="Do nothing unless this version (or none) is production now."),
]
Metric = Annotated[
    list[str] | None, typer.Option(metavar="NAME=NUMBER", help="A metric, over that of --metrics; repeat for more.")
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="How many files, parts and ranges to transfer at a time.", show_default="8"),
]


def precondition(expect: str | None) -> dict[str, Any]:
    """The keyword argument `expected_production`, if `--expect` is given."""
    if expect is None:
        return {}
    if expect == "none":
        return {"expected_production": None}
    try:
        return {"expected_production": version_number(expect)}
    except typer.BadParameter:
        _usage_error("--expect", f"'{expect}' is neither a version number nor none.")


def parse_tags(tags: Sequence[str]) -> dict[str, str]:
    """Tags from a list of `key=value`. Raises `BadParameter`."""
    for tag in tags:
        if not tag.partition("=")[0] or "=" not in tag:
            _usage_error("--tag", f"'{tag}' is not of the form key=value.")
    return {name: value for name, _, value in (tag.partition("=") for tag in tags)}


def parse_sort(text: str) -> str:
    """What a list is sorted by: the highest or latest first, or last after a dash. Raises `BadParameter`."""
    name = text.removeprefix("-")
    if not name:
        _usage_error("--sort", "name a metric, or write created.")
    return f"{'' if text.startswith('-') else '-'}{'created_at' if name == 'created' else f'metrics.{name}'}"


def parse_metric_options(given: str | None, single: Sequence[str] | None) -> dict[str, float]:
    """Metrics from `--metrics`, and over them those from a list of `name=number`. Raises `BadParameter`."""
    return parse_metrics(given) | dict(map(_parse_metric, single or []))


def _parse_metric(metric: str) -> tuple[str, float]:
    name, _, text = metric.rpartition("=")
    try:
        number = check_metric(int(text) if text.lstrip("+-").isdecimal() else float(text))
    except ValueError:
        name, number = "", 0.0
    if not name:
        _usage_error("--metric", f"'{metric}' is not of the form name=number, like f1=0.94.")
    return name, number


def parse_metrics(given: str | None) -> dict[str, float]:
    """Metrics from a JSON object of numbers, or from `@FILE` that holds one. Raises `BadParameter`."""
    if given is None:
        return {}
    text = _read_text(given[1:]) if given.startswith("@") else given
    try:
        parsed = json.loads(text, parse_constant=_reject_constant)
    except json.JSONDecodeError as error:
        _usage_error(
            "--metrics", f"not JSON at line {error.lineno}, column {error.colno}: {_uncapitalized(error.msg)}."
        )
    except (ValueError, RecursionError):
        _usage_error("--metrics", "not JSON that can be read.")
    if not isinstance(parsed, dict):
        _usage_error("--metrics", 'metrics are a JSON object of numbers, like {"f1": 0.94}.')
    return {name: _number(name, value) for name, value in parsed.items()}


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except OSError as error:
        _usage_error("--metrics", f"'{path}' cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        _usage_error("--metrics", f"'{path}' is not a text file.")


def _number(name: str, value: Any) -> float:
    try:
        return check_metric(value)
    except ValueError as error:
        _usage_error("--metrics", f"'{name}' is {json.dumps(value)[:40]}: {error}.")


def _reject_constant(word: str) -> NoReturn:
    _usage_error("--metrics", f"{word} is not a finite number.")


def _uncapitalized(message: str) -> str:
    return message[:1].lower() + message[1:]


def _usage_error(option: str, sentence: str) -> NoReturn:
    raise typer.BadParameter(sentence, param_hint=f"'{option}'") from None
