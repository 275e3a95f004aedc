"""How every command of the program fails: a sentence and an exit status, or one JSON object; never a traceback."""

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Final

import typer

from modelkeep.cli.options import Output
from modelkeep.domain.errors import IntegrityError, InvalidRequestError, RegistryError
from modelkeep.kit.proxies import UnusableVariableError
from modelkeep.kit.text import escaped_lines
from modelkeep.kit.validation_texts import in_plain_words

OPERATOR_COMMAND: Final = f"{__name__}.operator_command"
"""The key of a context's `meta` that holds the words of the operator's command that runs, if it is one."""

TYPED: Final = f"{__name__}.typed"
"""The key of a context's `meta` that holds everything after the program's name."""

_JSON_TYPED: Final = re.compile(r"(?:^| )(?:-o ?|--output[ =])(?:jsonl?|csv)(?: |$)")


class Status(IntEnum):
    """Exit statuses, beside 0."""

    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    DAMAGED = 4
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """The status that the program ends with, and what it prints: `problem` has at least `code` and `detail`.

    A `plain` one is its `detail` alone when a person reads it.
    """

    status: int
    problem: dict[str, Any]
    plain: bool = False


@contextmanager
def exit_on_error(context: typer.Context) -> Iterator[None]:
    """End the program with a status and a sentence, whatever goes wrong in the block, which runs the command named."""
    try:
        yield
    except typer.Exit:
        raise
    except typer.Abort:
        typer.echo("\nInterrupted.", err=True)
        raise typer.Exit(Status.INTERRUPTED) from None
    except BrokenPipeError:
        _abandon_standard_output()
        raise typer.Exit(Status.REFUSED) from None
    except Exception as error:
        as_json = _is_json_wanted(context, error)
        failure = _operator_failure(error, context.meta.get(OPERATOR_COMMAND)) or _failure(error, as_json=as_json)
        if failure is None:
            if os.environ.get("MODELKEEP_LOG_LEVEL") == "DEBUG":
                raise
            failure = _defect(error)
        _print(failure, as_json=as_json)
        raise typer.Exit(failure.status) from None


def _is_json_wanted(context: typer.Context, error: Exception) -> bool:
    """Whether JSON was asked for; after a command that could not be parsed, by what was typed."""
    if context.params.get("output", Output.HUMAN) is not Output.HUMAN:
        return True
    typed = " ".join(context.meta.get(TYPED, ()))
    return isinstance(error, typer.TyperException) and _JSON_TYPED.search(typed) is not None


def _operator_failure(error: Exception, command: str | None) -> _Failure | None:
    """What has another status or form if an operator's command fails of it.

    Such a command works on files, settings and storage of the operator's own: an `OSError` or a `ValueError` says which
    of them cannot be used.
    """
    if command is None or isinstance(error, typer.TyperException):
        return None
    if isinstance(error, RegistryError):
        status = Status.USAGE if _was_typed(error) else Status.REFUSED
        return _Failure(status=status, problem=_refusal(error), plain=True)
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("modelkeep"):
        return _Failure(status=Status.USAGE, problem=_missing_extra(command, error.name), plain=True)
    if isinstance(error, OSError) and error.strerror:
        return _Failure(status=Status.USAGE, problem=_system_error(error), plain=True)
    if isinstance(error, OSError | ValueError):
        return _Failure(status=Status.USAGE, problem={"code": "usage", "detail": str(error)}, plain=True)
    return None


def _failure(error: Exception, *, as_json: bool) -> _Failure | None:
    if isinstance(error, typer.TyperException):
        return _Failure(status=error.exit_code, problem=_usage(error, as_json=as_json))
    if isinstance(error, RegistryError):
        return _Failure(status=_status_of(error), problem=_refusal(error))
    if isinstance(error, OSError) and error.strerror:
        return _Failure(status=Status.REFUSED, problem=_system_error(error))
    if isinstance(error, UnusableVariableError):
        return _Failure(status=Status.USAGE, problem={"code": "usage", "detail": str(error)})
    return None


def _status_of(error: RegistryError) -> Status:
    from modelkeep.client.errors import UnreachableError  # noqa: PLC0415 -- `--version` need not wait for it

    if isinstance(error, UnreachableError):
        return Status.UNREACHABLE
    if isinstance(error, IntegrityError):
        return Status.DAMAGED
    return Status.USAGE if _was_typed(error) else Status.REFUSED


def _was_typed(error: RegistryError) -> bool:
    """Whether an argument was found wrong before anything was sent.

    A registry's refusals carry a note, and those of its services name a place in a body.
    """
    notes = getattr(error, "__notes__", ())
    if not isinstance(error, InvalidRequestError) or notes:
        return False
    location = error.errors[0]["location"]
    return location != "artifacts" and not location.startswith("body.")


def _refusal(error: RegistryError) -> dict[str, Any]:
    from modelkeep.client.errors import UnknownProblemError, code_of  # noqa: PLC0415 -- see _status_of

    problem = error.problem if isinstance(error, UnknownProblemError) else {}
    own = {field.name: getattr(error, field.name) for field in fields(error) if field.name != "problem"}
    return {**problem, "code": code_of(error), "detail": str(error), **own}


def _usage(error: typer.TyperException, *, as_json: bool) -> dict[str, Any]:
    context = getattr(error, "ctx", None)
    hint = f" Try '{context.command_path} --help'." if context and not as_json else ""
    sentence = in_plain_words(" ".join(error.format_message().split()))
    return {"code": "usage", "detail": f"{_with_full_stop(sentence)}{hint}"}


def _missing_extra(command: str, module: str) -> dict[str, Any]:
    detail = (
        f"`{command}` needs modelkeep[server]: the module '{module}' is not installed."
        " Install it with `pip install 'modelkeep[server]'`."
    )
    return {"code": "missing_extra", "detail": detail, "command": command, "module": module, "extra": "server"}


def _system_error(error: OSError) -> dict[str, Any]:
    where = f"'{error.filename}': " if error.filename else ""
    return {"code": "system_error", "detail": f"{where}{error.strerror}."}


def _defect(error: Exception) -> _Failure:
    sentence = f"Unexpected {type(error).__name__}: {_with_full_stop(str(error))}"
    problem = {"code": "internal_error", "detail": f"{sentence} MODELKEEP_LOG_LEVEL=DEBUG shows where."}
    return _Failure(status=Status.REFUSED, problem=problem)


def _print(failure: _Failure, *, as_json: bool) -> None:
    problem = failure.problem
    if as_json:
        typer.echo(json.dumps(problem, default=str), err=True)
        return
    detail = escaped_lines(problem["detail"])
    if failure.plain:
        typer.echo(detail, err=True)
        return
    from modelkeep.cli.output import console  # noqa: PLC0415 -- see _status_of

    screen = console(err=True)
    screen.print("Error:", style="bold red", end=" ")
    screen.print(detail)
    if "request_id" in problem:
        screen.print(f"request_id: {problem['request_id']}", style="dim")


def _with_full_stop(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."


def _abandon_standard_output() -> None:
    """Nothing reads it any more: what is left in its buffer must not fail a second time when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
