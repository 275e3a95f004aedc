"""What a failed command says, and its exit status. A sentence and a code, or one JSON object; never a traceback."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from enum import IntEnum
from typing import Any

import typer

from modelkeep.domain.errors import IntegrityError, InvalidRequestError, RegistryError


class Status(IntEnum):
    """Exit statuses, beside 0."""

    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    DAMAGED = 4
    INTERRUPTED = 130


@contextmanager
def exit_on_error(*, as_json: bool) -> Iterator[None]:
    """End the program with a status and a sentence, whatever goes wrong in the block."""
    try:
        yield
    except typer.Exit:
        raise
    except typer.Abort:
        typer.echo("\nInterrupted.", err=True)
        raise typer.Exit(Status.INTERRUPTED) from None
    except typer.TyperException as error:
        _tell(_usage(error, as_json=as_json), as_json=as_json)
        raise typer.Exit(error.exit_code) from None
    except RegistryError as error:
        _tell(_refusal(error), as_json=as_json)
        raise typer.Exit(status_of(error)) from None
    except BrokenPipeError:
        _leave_standard_output()
        raise typer.Exit(Status.REFUSED) from None
    except Exception as error:
        if os.environ.get("MODELKEEP_LOG_LEVEL") == "DEBUG":
            raise
        _tell(_surprise(error), as_json=as_json)
        raise typer.Exit(Status.REFUSED) from None


def status_of(error: RegistryError) -> Status:
    """The exit status that an error ends the program with."""
    from modelkeep.client.errors import UnreachableError  # noqa: PLC0415 -- `--version` need not wait for it

    if isinstance(error, UnreachableError):
        return Status.UNREACHABLE
    if isinstance(error, IntegrityError):
        return Status.DAMAGED
    return Status.USAGE if _was_typed(error) else Status.REFUSED


def _was_typed(error: RegistryError) -> bool:
    """Whether an argument is at fault, told before anything was sent: a registry's refusals carry a note."""
    noted = getattr(error, "__notes__", ())
    return isinstance(error, InvalidRequestError) and not noted and error.errors[0]["location"] != "artifacts"


def _refusal(error: RegistryError) -> dict[str, Any]:
    from modelkeep.client.errors import UnknownProblemError, code_of  # noqa: PLC0415 -- see status_of

    said = error.problem if isinstance(error, UnknownProblemError) else {}
    own = {field.name: getattr(error, field.name) for field in fields(error) if field.name != "problem"}
    return {**said, "code": code_of(error), "detail": str(error), **own}


def _usage(error: typer.TyperException, *, as_json: bool) -> dict[str, Any]:
    context = getattr(error, "ctx", None)
    hint = f" Try '{context.command_path} --help'." if context and not as_json else ""
    sentence = " ".join(error.format_message().split())
    return {"code": "usage", "detail": f"{_ended(sentence)}{hint}"}


def _surprise(error: Exception) -> dict[str, Any]:
    if isinstance(error, OSError) and error.strerror:
        where = f"'{error.filename}': " if error.filename else ""
        return {"code": "system_error", "detail": f"{where}{error.strerror}."}
    return {
        "code": "internal_error",
        "detail": f"Unexpected {type(error).__name__}: {_ended(str(error))} MODELKEEP_LOG_LEVEL=DEBUG shows where.",
    }


def _tell(problem: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(problem, default=str), err=True)
        return
    from modelkeep.cli.output import console  # noqa: PLC0415 -- see status_of

    screen = console(err=True)
    screen.print("Error:", style="bold red", end=" ")
    screen.print(problem["detail"])
    screen.print(f"code: {problem['code']}", style="dim")
    if "request_id" in problem:
        screen.print(f"request_id: {problem['request_id']}", style="dim")


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."


def _leave_standard_output() -> None:
    """Nobody reads it any more: what is left in its buffer must not fail a second time when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
