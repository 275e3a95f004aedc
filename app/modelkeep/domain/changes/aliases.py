"""Aliases are pointed and removed."""

from dataclasses import replace
from typing import Final

from modelkeep.domain.changes.change import Change, Decision, Unchanged, advance, event_of, text_of
from modelkeep.domain.errors import AliasNotFoundError, AliasReservedError, MetadataTooLargeError
from modelkeep.domain.events import EventType, Operation
from modelkeep.domain.models import Head, Version
from modelkeep.domain.values import is_reserved_alias

MAX_ALIASES: Final = 100


def set_alias(
    head: Head, version: Version, alias: str, operation: Operation, *, comment: str | None = None
) -> Decision[Version]:
    """Point an alias at a version, whatever it named before; from now on it is written as here.

    Raises `AliasReservedError`, `MetadataTooLargeError` above 100 aliases.
    """
    if is_reserved_alias(alias):
        raise AliasReservedError(alias)
    if head.aliases.get(alias) == version.number:
        return Unchanged(result=version.with_head(head), version=version.number)
    before = head.alias_like(alias)
    aliases = {name: number for name, number in head.aliases.items() if name != before} | {alias: version.number}
    if len(aliases) > MAX_ALIASES:
        raise MetadataTooLargeError("aliases", size=len(aliases), limit=MAX_ALIASES)
    after = advance(replace(head, aliases=aliases), operation)
    event = event_of(
        after,
        operation,
        EventType.ALIAS_SET,
        version=version.number,
        alias=alias,
        origin=text_of(head.aliases[before] if before else None),
        target=str(version.number),
        comment=comment,
    )
    return Change(head=after, events=(event,), result=version.with_head(after), version=version.number)


def remove_alias(head: Head, alias: str, operation: Operation) -> Change[None]:
    """Remove an alias. Raises `AliasNotFoundError`."""
    removed = head.alias_like(alias)
    if removed is None:
        raise AliasNotFoundError(head.model, alias)
    aliases = {name: number for name, number in head.aliases.items() if name != removed}
    after = advance(replace(head, aliases=aliases), operation)
    number = head.aliases[removed]
    event = event_of(after, operation, EventType.ALIAS_REMOVED, version=number, alias=removed, origin=str(number))
    return Change(head=after, events=(event,), result=None, version=number)
