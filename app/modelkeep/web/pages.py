"""Renders views by templates. Whatever is not Markdown of our own rendering is escaped."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from fastapi.responses import HTMLResponse
from starlette.types import Scope

from modelkeep.http.context import context_of
from modelkeep.kit.text import format_age, format_count, format_moment, format_share, format_size, format_until
from modelkeep.web.assets import address_of

if TYPE_CHECKING:
    from jinja2 import Environment

_FILTERS: Final = {
    "age": format_age,
    "moment": format_moment,
    "size": format_size,
    "until": format_until,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What surrounds every page: who reads it, unless it is public."""

    reader: str | None


def show(scope: Scope, template: str, view: object, *, status: int = 200) -> HTMLResponse:
    """The page of a view, by the template that is made for its type."""
    principal = context_of(scope).principal
    frame = Frame(reader=principal.name if principal else None)
    body = _environment().get_template(template).render(view=view, frame=frame)
    return HTMLResponse(body, status)


@cache
def _environment() -> "Environment":
    # Importing it takes a tenth of a second, which a service that shows no page does not need.
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        loader=PackageLoader("modelkeep.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= _FILTERS
    own: dict[str, Any] = {"asset": address_of, "count": format_count, "share": format_share}
    environment.globals |= own
    return environment
