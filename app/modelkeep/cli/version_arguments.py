"""Which version a command means: `NAME@REF`, or NAME and the ref as an argument of its own."""

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from modelkeep.cli import completion
from modelkeep.cli.arguments import version_number

if TYPE_CHECKING:
    from modelkeep.client import RegistryClient

VersionOf = Annotated[
    str,
    typer.Argument(
        metavar="NAME[@REF]",
        help="The model, and its version: a number, latest, production, staging, an alias, a commit.",
        autocompletion=completion.version_of,
    ),
]
SeparateRef = Annotated[
    str | None,
    typer.Argument(metavar="[VERSION]", help="The version, if not after the @.", autocompletion=completion.ref_of),
]


@dataclass(frozen=True, slots=True)
class Meant:
    """A model, and the ref of its version; `None` if no version is named."""

    model: str
    ref: str | None

    def number(self) -> int:
        """The version's number. Raises `BadParameter` if it is not named by that."""
        return version_number(self._named())

    def number_now(self, registry: "RegistryClient") -> int:
        """The number that the ref names now; it is what is changed, whatever the ref names later.

        Raises `BadParameter` if no version is named.
        """
        ref = self._named()
        with suppress(typer.BadParameter):
            return version_number(ref)
        return registry.get_version(self.model, ref).version

    def _named(self) -> str:
        if self.ref is None:
            raise _usage_error(f"say which version of {self.model}, as {self.model}@4.")
        return self.ref


def meant(name: str, *separate: str | None) -> Meant:
    """The version that `NAME[@REF]` and arguments beside it name. Raises `BadParameter` if they name two."""
    model, at, after = name.partition("@")
    if at and not after:
        raise _usage_error(f"there is no version after the @ of '{name}'. Write {model}@4, or {model} alone.")
    refs = [after] * bool(at) + [ref for ref in separate if ref is not None]
    for other in refs[1:]:
        if _comparable(other) != _comparable(refs[0]):
            raise _usage_error(
                f"'{refs[0]}' and '{other}' are two versions. Write {model}@{refs[0]} or {model}@{other}."
            )
    return Meant(model, refs[0] if refs else None)


def two_versions(name: str, *separate: str | None) -> tuple[str, str, str]:
    """The model and the two versions that `NAME A B`, `NAME@A B` and `NAME@A NAME@B` name.

    Raises `BadParameter` if they do not name two.
    """
    first = meant(name)
    given = [first.ref, *(each and each.removeprefix(f"{first.model}@") for each in separate)]
    refs = [ref for ref in given if ref is not None]
    if len(refs) != 2:  # noqa: PLR2004 -- two
        raise _usage_error(f"say which two versions of {first.model}, as {first.model} 6 7 or {first.model}@6 7.")
    return first.model, refs[0], refs[1]


def _comparable(ref: str) -> str | int:
    with suppress(typer.BadParameter):
        return version_number(ref)
    return ref


def _usage_error(sentence: str) -> typer.BadParameter:
    return typer.BadParameter(sentence, param_hint="'NAME[@REF]'")
