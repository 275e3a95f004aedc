"""The registry as a Python object: what a pipeline, a notebook or a serving container does with it."""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from modelkeep.client.cache import Cache
from modelkeep.client.errors import UnreachableError
from modelkeep.client.progress import Progress
from modelkeep.client.registrar import IdempotencyKeySource, Registrar, Source
from modelkeep.client.registry_transport import RegistryTransport
from modelkeep.client.requests import alias_name, checked, model_name, ref
from modelkeep.client.token_sources import TokenProvider, find_token_source
from modelkeep.client.version_downloader import DownloadResult, VersionDownloader
from modelkeep.domain.errors import ModelNotFoundError, VersionNotFoundError
from modelkeep.domain.values import UNSET, Unset
from modelkeep.schemas.aliases import AliasResponse, SetAlias
from modelkeep.schemas.base import PageResponse
from modelkeep.schemas.downloads import DownloadResponse
from modelkeep.schemas.events import EventPage, EventResponse
from modelkeep.schemas.models import EditModel, ModelPage, ModelResponse
from modelkeep.schemas.stages import RollBack, SetStage
from modelkeep.schemas.versions import EditVersion, VersionPage, VersionResponse

Item = TypeVar("Item")

DEFAULT_URL: Final = "http://127.0.0.1:8000"
JOBS: Final = 8

_PAGE: Final = 100
_LOOK_SECONDS: Final = 2.0


class AsyncRegistryClient:
    """A client of one registry, inside `async with`.

    `url` and `cache_dir` come from `MODELKEEP_URL` and `MODELKEEP_CACHE_DIR` if they are not given. `token` is a token,
    or a function that returns one and is called again when that one expires or is refused. If it is not given it comes
    from `MODELKEEP_TOKEN`, the file `MODELKEEP_TOKEN_FILE` or, in a job of GitHub Actions, from GitHub, for the
    audience `MODELKEEP_AUDIENCE` (the registry's address, if not said). `jobs` is how many files, parts and ranges move
    at a time. Every method raises the registry's own errors (`modelkeep.domain.errors`, one class per problem code,
    with the problem's fields), `NoTokenError` and `UnreachableError`. A change whose reply was lost is sent again under
    the same Idempotency-Key: it takes effect once.

    Raises `ValueError` if the address is none.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | TokenProvider | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        jobs: int = JOBS,
        progress: Progress | None = None,
    ) -> None:
        environment = os.environ
        url = url or environment.get("MODELKEEP_URL") or DEFAULT_URL
        audience = environment.get("MODELKEEP_AUDIENCE") or url.rstrip("/")
        cache = cache_dir or environment.get("MODELKEEP_CACHE_DIR")
        progress = progress or Progress()
        self._service = RegistryTransport(url, credential=find_token_source(token, environment, audience=audience))
        self._registering = Registrar(self._service, jobs=jobs, progress=progress)
        self._fetching = VersionDownloader(
            self._service, jobs=jobs, progress=progress, cache=Cache(Path(cache)) if cache else None
        )

    async def __aenter__(self) -> Self:
        await self._service.__aenter__()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._service.__aexit__(*failure)

    async def register(
        self,
        model: str,
        source: str | os.PathLike[str],
        *,
        framework: str | None = None,
        metrics: Mapping[str, float] | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        as_zip: bool = False,
        idempotency_key: str | None = None,
        idempotency_scope: str | None = None,
    ) -> VersionResponse:
        """Register a file, or every file of a folder, as the next version of a model, and return that version.

        Killed and called again with the same arguments, it goes on with what has arrived. After it has returned, the
        same call registers another version; with an `idempotency_key` it returns the same one for 24 hours. A key is
        for one registration; within an `idempotency_scope`, other files or metadata get a key of their own.
        Also raises `LocalFileError`, `ChangedFileError`, `TransferRefusedError`.
        """
        metadata: dict[str, Any] = {
            "framework": framework,
            "metrics": metrics and {name: float(value) for name, value in metrics.items()},
            "description": description,
            "tags": tags and dict(tags),
        }
        return await self._registering.register(
            model_name(model),
            Source(path=Path(source), include=include, exclude=exclude, as_zip=as_zip),
            IdempotencyKeySource(literal=idempotency_key, scope=idempotency_scope),
            metadata={name: value for name, value in metadata.items() if value},
        )

    async def download(
        self,
        model: str,
        version: int | str = "production",
        *,
        dest: str | os.PathLike[str] = ".",
        paths: Sequence[str] = (),
        if_changed: bool = False,
        wait: float = 0,
    ) -> DownloadResult:
        """Put the files of a version below `dest`: `dest/<file>` if it has only one, else the folder `dest/<model>`.

        Each file is held against its size and SHA-256 first; then all appear at once, in the place of an earlier
        version. Killed and called again, it goes on with what has arrived. `paths` picks artifacts by patterns;
        `if_changed` leaves a place that holds this very version as it is; `wait` is how many seconds to wait for a
        version that answers to the ref. Also raises `DamagedDownloadError`, `LocalFileError`, `TransferRefusedError`.
        """
        located = await self._located(model, version, wait=wait)
        return await self._fetching.fetch(located, Path(dest), paths=paths, if_changed=if_changed)

    async def get_download_urls(self, model: str, version: int | str = "production") -> DownloadResponse:
        """A version with a presigned URL for each of its files."""
        return await self._service.get(
            DownloadResponse, "models", model_name(model), "versions", ref(version), "download"
        )

    async def _located(self, model: str, version: int | str, *, wait: float) -> DownloadResponse:
        deadline = time.monotonic() + wait
        while True:
            try:
                return await self.get_download_urls(model, version)
            except (ModelNotFoundError, VersionNotFoundError, UnreachableError):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise
            await asyncio.sleep(min(left, _LOOK_SECONDS))

    async def list_models(self, *, prefix: str | None = None, limit: int | None = None) -> list[ModelResponse]:
        """Models whose name begins with `prefix`, by name; at most `limit` of them."""
        return await self._pages(ModelPage, "models", limit=limit, prefix=prefix)

    async def get_model(self, model: str) -> ModelResponse:
        """A model as it is now."""
        return await self._service.get(ModelResponse, "models", model_name(model))

    async def list_versions(
        self, model: str, *, stage: str | None = None, limit: int | None = None
    ) -> list[VersionResponse]:
        """Versions of a model, newest first: those in `stage`, at most `limit` of them."""
        return await self._pages(VersionPage, "models", model_name(model), "versions", limit=limit, stage=stage)

    async def get_version(self, model: str, version: int | str) -> VersionResponse:
        """The version that answers to a ref."""
        return await self._service.get(VersionResponse, "models", model_name(model), "versions", ref(version))

    async def list_events(
        self, model: str, *, after: int | None = None, limit: int | None = None
    ) -> list[EventResponse]:
        """Events of a model after a generation, oldest first; at most `limit` of them."""
        return await self._pages(EventPage, "models", model_name(model), "events", limit=limit, after=after)

    async def promote(
        self,
        model: str,
        version: int,
        stage: str = "production",
        *,
        expected_production: int | Unset | None = UNSET,
        only_newer: bool = False,
        comment: str | None = None,
        idempotency_key: str | None = None,
    ) -> VersionResponse:
        """Move a version to a stage; the version that was production is archived in the same step.

        With `expected_production` (`None` for no version) nothing happens unless that one is production now:
        `ProductionChangedError` names the holder. `only_newer` refuses a lower number with `NotNewerError`.
        With an `idempotency_key` a repeat within 24 hours does not undo what came after the first.
        """
        fence = _given(expected_production=expected_production)
        body = checked(SetStage, stage=stage, comment=comment, only_newer=only_newer, **fence)
        where = (*_version(model, version), "stage")
        return await self._service.change(VersionResponse, "PUT", *where, body=body, key=idempotency_key)

    async def rollback(
        self, model: str, *, expected_production: int | Unset | None = UNSET, comment: str | None = None
    ) -> VersionResponse:
        """Give production back to the version that held it before, and return that version."""
        body = checked(RollBack, comment=comment, **_given(expected_production=expected_production))
        return await self._service.change(VersionResponse, "POST", "models", model_name(model), "rollback", body=body)

    async def set_alias(self, model: str, alias: str, version: int, *, comment: str | None = None) -> AliasResponse:
        """Point an alias at a version."""
        body = checked(SetAlias, version=version, comment=comment)
        return await self._service.change(AliasResponse, "PUT", *_alias(model, alias), body=body)

    async def remove_alias(self, model: str, alias: str) -> None:
        """Remove an alias."""
        await self._service.remove(*_alias(model, alias))

    async def edit_version(
        self,
        model: str,
        version: int,
        *,
        description: str | Unset = UNSET,
        metrics: Mapping[str, float | None] | Unset = UNSET,
        tags: Mapping[str, str | None] | Unset = UNSET,
    ) -> VersionResponse:
        """Change what lies beside a version's bytes; metrics and tags are merged, and `None` removes a key."""
        body = checked(EditVersion, **_given(description=description, metrics=metrics, tags=tags))
        return await self._service.change(VersionResponse, "PATCH", *_version(model, version), body=body)

    async def edit_model(
        self, model: str, *, description: str | Unset = UNSET, tags: Mapping[str, str | None] | Unset = UNSET
    ) -> ModelResponse:
        """Change a model's own description and tags; tags are merged, and `None` removes one."""
        body = checked(EditModel, **_given(description=description, tags=tags))
        return await self._service.change(ModelResponse, "PATCH", "models", model_name(model), body=body)

    async def delete_version(self, model: str, version: int) -> None:
        """Move a version to the trash; `VersionInUseError` while it is production or has an alias."""
        await self._service.remove(*_version(model, version))

    async def delete_model(self, model: str) -> None:
        """Delete a model; `ModelNotEmptyError` while a version is production or has an alias."""
        await self._service.remove("models", model_name(model))

    async def restore(self, model: str, version: int) -> VersionResponse:
        """Take a version out of the trash."""
        return await self._service.change(VersionResponse, "POST", *_version(model, version), "restore")

    async def _pages(
        self, page: type[PageResponse[Item]], *path: str, limit: int | None, **query: str | int | None
    ) -> list[Item]:
        found: list[Item] = []
        cursor: str | None = None
        while limit is None or len(found) < limit:
            size = _PAGE if limit is None else min(_PAGE, limit - len(found))
            answer = await self._service.get(page, *path, limit=size, cursor=cursor, **query)
            found += answer.items
            cursor = answer.next_cursor
            if cursor is None:
                break
        return found


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not UNSET}


def _version(model: str, version: int) -> tuple[str, ...]:
    return ("models", model_name(model), "versions", str(version))


def _alias(model: str, alias: str) -> tuple[str, ...]:
    return ("models", model_name(model), "aliases", alias_name(alias))
