"""How requests below `/hf` are treated."""

from typing import Final

from modelkeep.faces.huggingface.credentials import HUB_BEARER
from modelkeep.faces.huggingface.errors import render_error
from modelkeep.http.route_table import RouteRow


def _row(path: str, *, is_public: bool = False, answers_head: bool = False) -> RouteRow:
    return RouteRow(
        path,
        is_public=is_public,
        answers_head=answers_head,
        may_serve_stale=True,
        takes_encoded_slashes=True,
        render_error=render_error,
        credential_sources=(HUB_BEARER,),
    )


ROWS: Final = (
    _row("/hf/api/agent-harnesses", is_public=True),
    _row("/hf/api/"),
    _row("/hf/", answers_head=True),
)
"""`hf` asks for agent harnesses without its token, and takes 404 for an answer."""
