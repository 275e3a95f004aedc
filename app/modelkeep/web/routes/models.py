"""The list of models, and the page of one."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from modelkeep.domain.version_selection import Selection
from modelkeep.http.dependencies import Cursor, Model, Models, ReadCaller, Versions
from modelkeep.web.pages import show
from modelkeep.web.views.model import ModelView
from modelkeep.web.views.models import ModelRow, ModelsView
from modelkeep.web.views.versions import VersionRow, columns_of

ROWS_OF_A_PAGE = 50

router = APIRouter(include_in_schema=False)

Prefix = Annotated[str, Query(max_length=96)]


@router.get("/")
async def get_root() -> RedirectResponse:
    """To the pages."""
    return RedirectResponse("/ui", 303)


@router.get("/ui")
async def get_models_page(
    request: Request, caller: ReadCaller, models: Models, prefix: Prefix = "", cursor: Cursor = None
) -> HTMLResponse:
    """The models that the reader may see, by name."""
    page = await models.list_with_production(caller, prefix=prefix, cursor=cursor, limit=ROWS_OF_A_PAGE)
    view = ModelsView(
        rows=[ModelRow.of(*each) for each in page.items],
        prefix=prefix,
        is_first=cursor is None,
        next_cursor=page.next_cursor,
    )
    return show(request.scope, "models.html", view)


@router.get("/ui/models/{model}")
async def get_model_page(
    request: Request, model: Model, caller: ReadCaller, models: Models, versions: Versions, cursor: Cursor = None
) -> HTMLResponse:
    """A model and its versions."""
    head = await models.get(model, caller)
    page = await versions.list(model, caller, Selection(), cursor=cursor, limit=ROWS_OF_A_PAGE)
    columns = columns_of(page.items, None)
    view = ModelView(
        name=head.model,
        generation=head.generation,
        description=head.description,
        tags=head.tags,
        aliases=sorted(head.aliases.items()),
        updated_at=head.updated_at,
        columns=columns,
        rows=[VersionRow.of(version, columns) for version in page.items],
        next_cursor=page.next_cursor,
    )
    return show(request.scope, "model.html", view)
