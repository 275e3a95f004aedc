"""The tables of the manual that are made from the code.

    uv run poe docs

writes them into the pages; a test compares the pages with what it would write.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, get_args

import typer
from annotated_types import Ge, Le

from modelkeep import AsyncRegistryClient
from modelkeep.cli.global_options import GLOBAL_PANEL
from modelkeep.client.access_methods import AccessMethods
from modelkeep.domain import errors
from modelkeep.domain.errors import RegistryError
from modelkeep.http.failures import status_of
from modelkeep.program import program
from modelkeep.services.maintenance import findings
from modelkeep.services.maintenance.findings import Finding
from modelkeep.settings import Settings
from tests.support.pages import Page, manual

Row = tuple[str, ...]

_OUR_PROBLEMS: Final = (
    (405, "method_not_allowed", "The route takes other methods; the header `Allow` lists them.", ""),
    (500, "internal_error", "A bug: report the `request_id`.", ""),
)
"""Answers of the framework, which are no errors of the domain."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of a page, told by the first cells of its header."""

    topic: str
    header: str
    rows: Callable[[], Iterator[Row]]

    def written_into(self, text: str) -> str:
        """The page with this table as the code has it."""
        pattern = rf"(^\| {re.escape(self.header)} .*\n\|[-|]+\|\n)(?:\|.*\n)*"
        body = "".join(f"| {' | '.join(row)} |\n".replace("|  |", "| |") for row in self.rows())
        written, count = re.subn(pattern, lambda found: found[1] + body, text, flags=re.MULTILINE)
        assert count == 1, f"{self.topic} has {count} tables of {self.header}"
        return written


def settings() -> Iterator[Row]:
    """Every variable of the service."""
    for name, field in Settings.model_fields.items():
        default = _default(field.default)
        yield (
            f"`MODELKEEP_{name.upper()}`",
            default if default == "none" else f"`{default}`",
            _values(field),
            str(field.description).removesuffix("."),
        )


def _default(value: Any) -> str:
    if value is None or value == ():
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _values(field: Any) -> str:
    """What may be given: words, or a range of numbers."""
    if field.annotation is bool:
        return "`true` `false`"
    least = next((each.ge for each in field.metadata if isinstance(each, Ge)), None)
    most = next((each.le for each in field.metadata if isinstance(each, Le)), None)
    if least is not None:
        return f"{least} or more" if most is None else f"{least} to {most}"
    words = [word for each in [field.annotation, *get_args(field.annotation)] for word in get_args(each)]
    return " ".join(f"`{word}`" for word in words if isinstance(word, str))


def problems() -> Iterator[Row]:
    """Every code, by status."""
    raised = [
        (status_of(error), error.code(), _first_sentence(error), " ".join(f"`{name}`" for name in _members(error)))
        for _, error in inspect.getmembers(errors, inspect.isclass)
        if issubclass(error, RegistryError) and "__str__" in vars(error)
    ]
    for status, code, when, members in sorted([*raised, *_OUR_PROBLEMS], key=lambda row: row[:2]):
        yield str(status), f"`{code}`", when.removesuffix("."), members


def _members(error: type[RegistryError]) -> list[str]:
    return [field.name for field in fields(error) if field.name != "reason"]


def _first_sentence(documented: Any) -> str:
    """The first sentence of a docstring, on one line."""
    paragraph = " ".join((inspect.getdoc(documented) or "").split("\n\n")[0].split())
    return re.split(r"(?<=\.) ", paragraph, maxsplit=1)[0]


def commands() -> Iterator[Row]:
    """Every command, as it is typed."""
    for name, command in walk_commands(typer.main.get_command(program)):
        arguments = [_argument(each) for each in command.params if each.param_type_name == "argument"]
        own = [each for each in command.params if getattr(each, "rich_help_panel", None) != GLOBAL_PANEL]
        options = [option for each in own for option in each.opts if option.startswith("--")]
        usage = " ".join([name, *arguments])
        yield f"`{usage}`", " ".join(f"`{option}`" for option in options), _first_sentence_of_help(command)


def walk_commands(group: Any, *before: str) -> Iterator[tuple[str, Any]]:
    """Each command by its whole name, such as `token create`."""
    context = group.make_context("modelkeep", ["--help"], resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "commands"):
            yield from walk_commands(command, *before, name)
        else:
            yield " ".join([*before, name]), command


def _argument(parameter: Any) -> str:
    name = parameter.metavar or str(parameter.name).upper()
    return name if parameter.required or name.startswith("[") else f"[{name}]"


def _first_sentence_of_help(command: Any) -> str:
    return re.split(r"(?<=\.)\s", " ".join(command.help.split()), maxsplit=1)[0].removesuffix(".")


def maintenance_findings() -> Iterator[Row]:
    """Every finding of check, sweep, adopt and migrate."""
    for finding in vars(findings).values():
        if inspect.isclass(finding) and issubclass(finding, Finding) and not finding.__subclasses__():
            members = " ".join(f"`{field.name}`" for field in fields(finding))
            yield f"`{finding.code()}`", _first_sentence(finding).removesuffix("."), members


def methods() -> Iterator[Row]:
    """Every method of the Python client."""
    for name, method in {**vars(AsyncRegistryClient), **vars(AccessMethods)}.items():
        if inspect.iscoroutinefunction(method) and not name.startswith("_"):
            names = [each for each in inspect.signature(method).parameters if each != "self"]
            yield f"`{name}`", " ".join(f"`{each}`" for each in names), _first_sentence(method).removesuffix(".")


TABLES: Final = (
    Table(topic="operations", header="finding", rows=maintenance_findings),
    Table(topic="settings", header="variable", rows=settings),
    Table(topic="problems", header="status", rows=problems),
    Table(topic="command-line", header="command", rows=commands),
    Table(topic="python", header="method", rows=methods),
)


def written() -> Mapping[Page, str]:
    """Each page that has such tables, as it should be."""
    texts: dict[Page, str] = {}
    for table in TABLES:
        page = manual(table.topic)
        texts[page] = table.written_into(texts.get(page, page.text))
    return texts


if __name__ == "__main__":
    for changed, wanted in written().items():
        changed.path.write_text(wanted)
