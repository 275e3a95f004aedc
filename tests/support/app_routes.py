"""Every route of the app: its method, its path, and a path that it answers."""

from collections.abc import Iterator

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from modelkeep.main import create_app
from modelkeep.settings import Settings


def routes_of(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Every method and path of an app; what answers GET answers HEAD."""
    for route in iter_route_contexts(app.routes):
        methods = set(route.methods or ())
        for method in sorted(methods | ({"HEAD"} if "GET" in methods else set())):
            yield method, route.path or ""


ROUTES = list(routes_of(create_app(Settings(auth=None, backend="local", docs=True))))


def asset_below(path: str) -> str:
    """The name of a file that is served at this route for assets."""
    return "style.css" if path.startswith("/ui/") else "swagger-ui.css"


def filled_in(path: str) -> str:
    """The path with something in place of each parameter."""
    asset = asset_below(path)
    for name, value in [("{key:path}", "models/a"), ("{path:path}", "model.pt"), ("{asset}", asset)]:
        path = path.replace(name, value)
    for name in ("model", "version", "ref", "alias", "token"):
        path = path.replace(f"{{{name}}}", "1" if name == "version" else "champion")
    return path
