"""bash asks for what a word may become: of the words that only the registry knows, without loading the commands.

The protocol is that of the script which `--install-completion` installs: the words in `COMP_WORDS`, the number of the
one at the cursor in `COMP_CWORD`, and an answer a line. readline breaks words at an `@`, so `fraud@pro` comes as three,
of which the answer replaces the last two (bash 5.2: an `@` before a word belongs to it).
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Final, NamedTuple

from modelkeep.cli import completion

MODEL, VERSION_OF, REF, ALIAS, STAGE = "NAME", "NAME[@REF]", "[VERSION]", "ALIAS", "[STAGE]"

ARGUMENTS: Final[Mapping[tuple[str, ...], Sequence[str]]] = {
    ("abandon",): (MODEL,),
    ("alias", "list"): (MODEL,),
    ("alias", "rm"): (MODEL, ALIAS),
    ("alias", "set"): (VERSION_OF, ALIAS, REF),
    ("copy",): (VERSION_OF, MODEL),
    ("create",): (MODEL,),
    ("delete",): (VERSION_OF, REF),
    ("diff",): (VERSION_OF, REF, REF),
    ("download",): (VERSION_OF, REF),
    ("edit",): (VERSION_OF, REF),
    ("history",): (MODEL,),
    ("list",): (MODEL,),
    ("promote",): (VERSION_OF, REF, STAGE),
    ("register",): (MODEL,),
    ("restore",): (MODEL,),
    ("rollback",): (MODEL,),
    ("show",): (VERSION_OF, REF),
    ("uploads",): (MODEL,),
}
"""What the first arguments of a command are; those that are not listed are completed as the commands say."""

_NOT_PLAIN: Final = "\"'\\$`"


class Typed(NamedTuple):
    """The words after the program, up to the one at the cursor, and how much of that readline takes for other words."""

    words: list[str]
    broken_off: str


def complete_bash(environment: MutableMapping[str, str]) -> bool:
    """Print what the word at the cursor may become, and return whether that is all that there is to say.

    If it is not, `environment` has the words as they were typed, for the commands to complete.
    """
    words = environment.get("COMP_WORDS", "")
    if any(each in words for each in _NOT_PLAIN):
        return False
    typed = joined(words.split(), int(environment.get("COMP_CWORD", "0")))
    if (found := _complete(typed.words)) is not None:
        for each in found:
            print(each.removeprefix(typed.broken_off))  # noqa: T201 -- the answer to the shell
        return True
    environment["COMP_WORDS"] = " ".join(["modelkeep", *typed.words])
    environment["COMP_CWORD"] = str(len(typed.words))
    return bool(typed.broken_off)


def joined(words: Sequence[str], cursor: int) -> Typed:
    """The words with those that an `@` has broken as one. A word at the cursor that is empty is the last one."""
    typed: list[str] = []
    before = ""
    for word in [*words, ""][1 : cursor + 1]:
        if typed and word and (word.startswith("@") or typed[-1].endswith("@")):
            typed[-1] += word
            before = typed[-1].rpartition("@")[0]
        else:
            before = ""
            typed.append(word)
    return Typed(typed, before)


def _complete(words: Sequence[str]) -> list[str] | None:
    """What the last word may become; `None` if that is not for the registry to say, or not from these words alone."""
    command = tuple(words[: 2 if words[:1] == ["alias"] else 1])
    *before, incomplete = words[len(command) :] or ("", "")
    if command not in ARGUMENTS or len(words) <= len(command) or any(word.startswith("-") for word in words):
        return None
    has_ref = bool(before) and "@" in before[0]
    kinds = [kind for kind in ARGUMENTS[command] if not (has_ref and kind == REF)]
    if len(before) >= len(kinds):
        return None
    return _BY_KIND[kinds[len(before)]](incomplete, before[0] if before else "")


_BY_KIND: Final[Mapping[str, Callable[[str, str], list[str]]]] = {
    MODEL: lambda incomplete, _: completion.complete_model(incomplete),
    VERSION_OF: lambda incomplete, _: completion.complete_version_of(incomplete),
    REF: completion.complete_ref,
    ALIAS: completion.complete_alias,
    STAGE: lambda incomplete, _: completion.complete_stage(incomplete),
}
