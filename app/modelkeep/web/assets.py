"""The stylesheet, the script and the icon of the pages: small files of our own, served under names that never change.

Their addresses have a digest of the content, so a browser keeps them for a year and asks again after an upgrade.
"""

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

from fastapi import APIRouter
from fastapi.responses import FileResponse

Asset = Literal["icon.svg", "page.js", "style.css"]

_FOLDER: Final = Path(str(files("modelkeep.web") / "static"))
_CACHED: Final = {"cache-control": "public, max-age=31536000, immutable"}

router = APIRouter(include_in_schema=False)


@cache
def address_of(asset: Asset) -> str:
    """The address of an asset, which changes with its content."""
    digest = hashlib.sha256((_FOLDER / asset).read_bytes()).hexdigest()
    return f"/ui/static/{asset}?{digest[:12]}"


@router.get("/ui/static/{asset}")
async def get_page_asset(asset: Asset) -> FileResponse:
    """A file that every page loads."""
    return FileResponse(_FOLDER / asset, headers=_CACHED)
