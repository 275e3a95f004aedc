"""What a change of stages has done to the model, in words."""

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from modelkeep.cli.options import options_of
from modelkeep.domain.errors import ForbiddenError, NotFoundError, RegistryError
from modelkeep.domain.values import Stage
from modelkeep.kit.text import format_moment

if TYPE_CHECKING:
    from modelkeep.client import RegistryClient
    from modelkeep.schemas.events import EventResponse
    from modelkeep.schemas.versions import VersionResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """A model before the change: the number of its latest event, and its production version."""

    generation: int
    production: "VersionResponse | None"


def look(context: typer.Context, registry: "RegistryClient", model: str) -> Before | None:
    """The model as it is now; `None` if the caller may not read it, or if the output is not for people."""
    if options_of(context).for_programs:
        return None
    with suppress(NotFoundError, ForbiddenError):
        found = registry.get_model(model)
        number = found.production_version
        holder = None if number is None else registry.get_version(model, number)
        return Before(generation=found.generation, production=holder)
    return None


def outcome(registry: "RegistryClient", before: Before | None, moved: "VersionResponse", *, again: bool = False) -> str:
    """The sentence on a version that was moved, with what it replaced, or that it was in the stage already.

    What was replaced comes from the event of this very change. If that cannot be read, the sentence is without it.
    """
    sentence = f"{moved.model} v{moved.version} is in stage {moved.stage}{' again' * again}"
    if before is None:
        return sentence
    with suppress(RegistryError):
        events = registry.list_events(moved.model, after=before.generation)
        return f"{sentence}{_effect(before, moved, [event for event in events if _is_of(event, moved)])}"
    return sentence


def _is_of(event: "EventResponse", moved: "VersionResponse") -> bool:
    return (event.version, event.target, event.at) == (moved.version, moved.stage, moved.stage_changed_at)


def _effect(before: Before, moved: "VersionResponse", events: list["EventResponse"]) -> str:
    if not events:
        return f" already, since {format_moment(moved.stage_changed_at)}"
    if replaced := events[-1].replaced:
        holder = before.production
        is_holder = holder is not None and holder.version == replaced
        since = f", production since {format_moment(holder.stage_changed_at)}," if holder and is_holder else ""
        return f"; v{replaced}{since} is archived"
    if events[-1].origin == Stage.PRODUCTION:
        return f"; {moved.model} has no production version now"
    return ""
