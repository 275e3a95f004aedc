"""Interactive documentation at `/docs`: Swagger UI, all of whose files this service serves."""

from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response

PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Model registry</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""

START: Final = """\
SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});
"""

_FOLDER: Final = Path(str(files("fastapi_swagger") / "resources"))
_CACHED: Final = {"cache-control": "max-age=3600"}

Asset = Literal["favicon-32x32.png", "swagger-ui-bundle.js", "swagger-ui.css"]

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def get_docs() -> HTMLResponse:
    """The page, where every route can be tried."""
    return HTMLResponse(PAGE)


@router.get("/docs/start.js")
async def get_docs_start() -> Response:
    """The script that starts the page with this service's document."""
    return Response(START, headers=_CACHED, media_type="text/javascript")


@router.get("/docs/{asset}")
async def get_docs_asset(asset: Asset) -> FileResponse:
    """A file of Swagger UI."""
    return FileResponse(_FOLDER / asset, headers=_CACHED)
