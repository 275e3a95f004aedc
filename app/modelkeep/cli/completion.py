"""Completes names of models, refs of versions and aliases by what the registry has. Without an answer, by nothing.

A completion is made while a person types, so it has a budget of time: what is not there by then is left out, and no
failure is said. It needs the standard library alone, because the client takes longer to import than to answer.
"""

import json
import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from modelkeep.kit.proxies import ProxySettings

BUDGET_SECONDS: Final = 0.3
"""After the service has been asked for so long, what it has said is all."""

_DEFAULT_URL: Final = "http://127.0.0.1:8000"
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}\Z")
"""What names, aliases and numbers consist of, and nothing that a shell would expand or execute."""

_MAX_BYTES: Final = 4 * 1024 * 1024
_MAX_NAMES: Final = 100
_NEWEST: Final = 20
"""Versions whose numbers are listed."""

_STAGES: Final = ("staging", "production", "archived")
_FAILURES: Final = (OSError, ValueError, HTTPException, LookupError, TypeError, AttributeError)
"""Of a connection, of an address that is none, and of answers of another shape than a registry's."""


def complete_model(incomplete: str, *, url: str | None = None) -> list[str]:
    """Names of models that begin so."""
    return _found(incomplete, lambda: _names(_Asker(url), incomplete))


def complete_version_of(incomplete: str, *, url: str | None = None) -> list[str]:
    """Names of models that begin so or, after an `@`, the name with each ref that begins so."""
    model, at, ref = incomplete.partition("@")
    if not at:
        return complete_model(incomplete, url=url)
    return [f"{model}@{each}" for each in complete_ref(ref, model, url=url)]


def complete_ref(incomplete: str, model: str, *, url: str | None = None) -> list[str]:
    """Refs of versions of a model: `production`, `latest`, aliases, and the numbers of the newest versions."""
    return _found(incomplete, lambda: _refs(_Asker(url), model.partition("@")[0]))


def complete_alias(incomplete: str, model: str, *, url: str | None = None) -> list[str]:
    """Aliases of a model."""
    return _found(incomplete, lambda: list(_Asker(url).model(model.partition("@")[0])["aliases"]))


def complete_stage(incomplete: str) -> list[str]:
    """Stages, for which nothing is asked."""
    return [stage for stage in _STAGES if stage.startswith(incomplete)]


def model_of(ctx: Any, incomplete: str) -> list[str]:
    """For an argument that is a model; this and the next three are what typer calls, in every shell."""
    return complete_model(incomplete, url=_url_of(ctx))


def version_of(ctx: Any, incomplete: str) -> list[str]:
    """For an argument that is a model, or a version after an `@`."""
    return complete_version_of(incomplete, url=_url_of(ctx))


def ref_of(ctx: Any, incomplete: str) -> list[str]:
    """For an argument that is a ref, after one that is a model; or a stage, if a ref was with that already."""
    if "@" in _model_before(ctx):
        return complete_stage(incomplete) if ctx.info_name == "promote" else []
    return complete_ref(incomplete, _model_before(ctx), url=_url_of(ctx))


def alias_of(ctx: Any, incomplete: str) -> list[str]:
    """For an argument that is an alias, after one that is a model."""
    return complete_alias(incomplete, _model_before(ctx), url=_url_of(ctx))


def _url_of(ctx: Any) -> str | None:
    url: str | None = ctx.find_root().params.get("url")
    return url


def _model_before(ctx: Any) -> str:
    return str(ctx.params.get("name") or ctx.params.get("model") or "")


class _Asker:
    """Asks a registry, once, as the client of the environment would."""

    def __init__(self, url: str | None) -> None:
        """Raises `ValueError` for an address that is none, or that is asked through a proxy."""
        address = url or os.environ.get("MODELKEEP_URL") or _DEFAULT_URL
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https"} or set(address) & set("@?#"):
            raise ValueError("no address of a registry")
        if ProxySettings.from_environment().find(address):
            raise ValueError("nothing is completed through a proxy")
        connection = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = connection(parts.hostname or "", parts.port, timeout=BUDGET_SECONDS)
        self._before = parts.path.rstrip("/")

    def get(self, *path: str, **query: str | int) -> Any:
        """The JSON of an answer. Raises one of `_FAILURES`."""
        target = "/".join([self._before, "v1", *(quote(segment, safe="") for segment in path)])
        self._connection.request("GET", f"{target}?{urlencode(query)}" if query else target, headers=_headers())
        response = self._connection.getresponse()
        body = response.read(_MAX_BYTES)
        if response.status != 200:  # noqa: PLR2004 -- the only status with a resource
            raise ValueError(response.status)
        return json.loads(body)

    def model(self, name: str) -> Any:
        """The model. Raises one of `_FAILURES`."""
        return self.get("models", name)


def _names(asker: _Asker, prefix: str) -> Iterable[str]:
    query = {"prefix": prefix} if prefix else {}
    return [model["model"] for model in asker.get("models", limit=_MAX_NAMES, **query)["items"]]


def _refs(asker: _Asker, model: str) -> Iterable[str]:
    found: Mapping[str, Any] = asker.model(model)
    yield from (ref for ref in ("production", "latest") if found[f"{ref}_version"])
    yield from found["aliases"]
    versions: Sequence[Mapping[str, Any]] = asker.get("models", model, "versions", limit=_NEWEST)["items"]
    yield from (str(version["version"]) for version in versions)


def _headers() -> dict[str, str]:
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    file = os.environ.get("MODELKEEP_TOKEN_FILE")
    token = os.environ.get("MODELKEEP_TOKEN") or (Path(file).read_text("utf-8").strip() if file else "")
    return headers | ({"authorization": f"Bearer {token}"} if token else {})


def _found(incomplete: str, ask: Callable[[], Iterable[str]]) -> list[str]:
    """What is found within the budget and begins with what is typed; in a thread, since a lookup in DNS cannot end."""
    found: list[str] = []

    def collect() -> None:
        try:
            found.extend(each for each in ask() if _PLAIN.match(each) and each.startswith(incomplete))
        except _FAILURES:
            return

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(BUDGET_SECONDS)
    return list(dict.fromkeys(found))
