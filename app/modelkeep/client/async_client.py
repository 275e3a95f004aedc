"""The client of a registry, for code that awaits."""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self, SupportsFloat, TypeVar

from modelkeep.client.access_methods import AccessMethods
from modelkeep.client.addresses import DEFAULT_URL
from modelkeep.client.cache import Cache
from modelkeep.client.errors import UnreachableError
from modelkeep.client.progress import Progress
from modelkeep.client.registrar import IdempotencyKeySource, Registrar, Source
from modelkeep.client.registry_transport import QueryValue, RegistryTransport
from modelkeep.client.requests import alias_name, build_body, model_name, moment, not_empty, ref
from modelkeep.client.token_sources import TokenProvider, find_token_source
from modelkeep.client.version_downloader import DownloadResult, VersionDownloader
from modelkeep.domain.errors import ModelNotFoundError, VersionNotFoundError
from modelkeep.domain.values import UNSET, Unset
from modelkeep.schemas.aliases import AliasResponse, SetAlias
from modelkeep.schemas.base import PageResponse
from modelkeep.schemas.comparisons import ComparisonResponse
from modelkeep.schemas.downloads import DownloadResponse
from modelkeep.schemas.events import EventPage, EventResponse
from modelkeep.schemas.models import CreateModel, EditModel, ModelPage, ModelResponse
from modelkeep.schemas.stages import RollBack, SetStage
from modelkeep.schemas.uploads import CreateUpload, UploadPage, UploadProgressResponse, UploadResponse
from modelkeep.schemas.versions import EditVersion, SortedVersionPage, VersionPage, VersionResponse

Item = TypeVar("Item")

DEFAULT_JOBS: Final = 8

_PAGE_SIZE: Final = 100
_YES: Final = frozenset({"1", "true", "yes", "on"})
_POLL_SECONDS: Final = 2.0


class AsyncRegistryClient(AccessMethods):
    """A client of one registry, to be used with `async with`.

    - `url`: the registry's address, by default `MODELKEEP_URL`, else `http://127.0.0.1:8000`.
    - `token`: a token, or a function that returns one and is called again when it expires or is refused. By default
      `MODELKEEP_TOKEN`, the file `MODELKEEP_TOKEN_FILE` or, in a job of GitHub Actions, the token that GitHub issues
      for the audience `MODELKEEP_AUDIENCE` (by default the registry's address).
    - `cache_dir`: a folder of downloaded files that processes share, by default `MODELKEEP_CACHE_DIR`, else none.
    - `cache_hard_links`: downloads are hard links into the cache, read-only, instead of files of their own; by default
      `MODELKEEP_CACHE_HARD_LINKS`, else `False`.
    - `jobs`: how many files, parts and ranges are transferred at a time.
    - `progress`: receives the progress of transfers, and remarks.

    Every method raises the registry's errors, one class for each problem code with the problem's fields, and
    `NoTokenError` and `UnreachableError`; all of them are `RegistryError`. A change whose reply was lost is repeated
    with the same Idempotency-Key, so that it takes effect once. A version is given by its number or by any ref, as
    `production` or an alias, unless it is changed: then by its number.

    Raises `ValueError` if `url` is not the address of a registry, or if a variable of the environment names
    certificates that are not there or a proxy that cannot be used.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | TokenProvider | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        cache_hard_links: bool | None = None,
        jobs: int = DEFAULT_JOBS,
        progress: Progress | None = None,
    ) -> None:
        environment = os.environ
        url = url or environment.get("MODELKEEP_URL") or DEFAULT_URL
        audience = environment.get("MODELKEEP_AUDIENCE") or url.rstrip("/")
        self._progress = progress = progress or Progress()
        folder = cache_dir or environment.get("MODELKEEP_CACHE_DIR")
        if cache_hard_links is None:
            cache_hard_links = environment.get("MODELKEEP_CACHE_HARD_LINKS", "").lower() in _YES
        cache = Cache(Path(folder), hard_links=cache_hard_links, remark=progress.remark) if folder else None
        self._transport = RegistryTransport(url, token_source=find_token_source(token, environment, audience=audience))
        self._registrar = Registrar(self._transport, jobs=jobs, progress=progress)
        self._downloader = VersionDownloader(self._transport, jobs=jobs, progress=progress, cache=cache)

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._transport.__aexit__(*failure)

    async def register(
        self,
        model: str,
        source: str | os.PathLike[str],
        *,
        framework: str | None = None,
        metrics: Mapping[str, SupportsFloat] | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        run_id: str | None = None,
        source_uri: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        follow_links: bool = False,
        as_zip: bool = False,
        idempotency_key: str | None = None,
        idempotency_scope: str | None = None,
    ) -> VersionResponse:
        """Register a file, or the files of a folder, as the next version of a model, and return that version.

        A `framework` that is not given is inferred from the files' names; `framework_inferred` of the version says so.
        `run_id` is that of the training run; `source_uri`, an address that it comes from, is the version's `source`.
        `include` and `exclude` are patterns as in a `.gitignore`; what the folder's `.modelkeepignore` names is left
        out, and so are `.git`, `__pycache__`, `.DS_Store`, `.ipynb_checkpoints`, `.cache/huggingface`, `.modelkeep*`.
        A link to a file of the folder is followed, and so are those of a snapshot in a Hugging Face cache; with
        `follow_links` every link is. With `as_zip` the files of a folder become one archive.

        Interrupted and called again with the same arguments, it resumes. Called again after it has returned, it
        registers another version, unless it has an `idempotency_key`: with that, the same version is returned for 24
        hours. An `idempotency_scope` makes such a key of itself, the files and the metadata; when its version was
        deleted or its upload abandoned, another one is registered. A metric is whatever has `__float__`, but no truth
        value, text or array; an integer beyond 2**53 must be one that a float holds.
        Also raises `LocalFileError`, `ChangedFileError`, `TransferRefusedError`.
        """
        metadata: dict[str, Any] = {
            "framework": framework,
            "metrics": metrics and dict(metrics),
            "description": description,
            "tags": tags and dict(tags),
            "run_id": run_id,
            "source": source_uri,
        }
        return await self._registrar.register(
            model_name(model),
            Source(path=Path(source), include=include, exclude=exclude, follow_links=follow_links, as_zip=as_zip),
            IdempotencyKeySource(
                literal=not_empty("idempotency_key", idempotency_key),
                scope=not_empty("idempotency_scope", idempotency_scope),
            ),
            metadata={name: value for name, value in metadata.items() if value},
        )

    async def copy(
        self,
        model: str,
        version: int,
        to: str,
        *,
        framework: str | None = None,
        metrics: Mapping[str, SupportsFloat] | None = None,
        description: str | Unset = UNSET,
        tags: Mapping[str, str] | None = None,
        run_id: str | None = None,
        source_uri: str | None = None,
        idempotency_key: str | None = None,
    ) -> VersionResponse:
        """Make the next version of the model `to` of a version's files, and return it; no byte is moved.

        It has the metadata of that version; what is given is in its place, and metrics and tags are set over it. Its
        `source` is by default the address `models:/<model>/<version>`. With an `idempotency_key`, a repeat within 24
        hours returns the same version. Raises `DigestUnknownError` for a version that was adopted and never verified.
        """
        metadata: dict[str, Any] = {
            "framework": framework,
            "metrics": metrics and dict(metrics),
            "tags": tags and dict(tags),
            "run_id": run_id,
            "source": source_uri,
        }
        given = {name: value for name, value in metadata.items() if value} | _without_unset(description=description)
        body = build_body(CreateUpload, **{"from": {"model": model_name(model), "version": version}}, **given)
        key = not_empty("idempotency_key", idempotency_key)
        path = ("models", model_name(to), "versions")
        copied = await self._transport.change(UploadResponse, "POST", *path, body=body, key=key)
        return await self._transport.get(VersionResponse, *path, copied.version)

    async def preview(
        self,
        source: str | os.PathLike[str],
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        follow_links: bool = False,
        as_zip: bool = False,
    ) -> dict[str, int]:
        """The files that `register` with these arguments would send, with their sizes in bytes; reads and sends none.

        An empty folder is registered, too; its path ends in a slash here, and its size is 0. Raises `LocalFileError`
        as `register` does, and `TooManyArtifactsError`.
        """
        wanted = Source(path=Path(source), include=include, exclude=exclude, follow_links=follow_links, as_zip=as_zip)
        return await self._registrar.preview(wanted)

    async def download(
        self,
        model: str,
        version: int | str = "production",
        *,
        dest: str | os.PathLike[str] = ".",
        paths: Sequence[str] = (),
        if_changed: bool = False,  # noqa: ARG002 -- of earlier releases, which downloaded again without it
        force: bool = False,
        dry_run: bool = False,
        verify: bool = False,
        wait: float = 0,
    ) -> DownloadResult:
        """Put the files of a version below `dest`: `dest/<file>` if it has only one, else the folder `dest/<model>`.

        Nothing is downloaded if the files that are there are those of this version, whatever `if_changed` says: a file
        is read unless size, time and inode are those of when it was verified; with `verify` each one is. Else the size
        and SHA-256 of each file are verified, and what is there already is not fetched; then all files appear in one
        step, in place of an earlier version. What no download put there is replaced only with `force`, else it raises
        `LocalFileError`. Interrupted and called again, it resumes. `paths` selects artifacts by patterns as in a
        `.gitignore`. With `dry_run` nothing is fetched or written, and `changed` says whether it would be. `wait` is
        how many seconds to wait for the ref to exist. Also raises `DamagedDownloadError`, `TransferRefusedError`.
        """
        resolved = await self._resolve(model, version, wait=wait)
        return await self._downloader.download(
            resolved, Path(dest), paths=paths, force=force, dry_run=dry_run, verify=verify
        )

    async def get_download_urls(self, model: str, version: int | str = "production") -> DownloadResponse:
        """Presigned URLs for the files of a version, and what a container needs to know of the version."""
        return await self._transport.get(
            DownloadResponse, "models", model_name(model), "versions", ref(version), "download"
        )

    async def _resolve(self, model: str, version: int | str, *, wait: float) -> DownloadResponse:
        deadline = time.monotonic() + wait
        while True:
            try:
                return await self.get_download_urls(model, version)
            except (ModelNotFoundError, VersionNotFoundError, UnreachableError):
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise
            await asyncio.sleep(min(remaining, _POLL_SECONDS))

    async def list_models(self, *, prefix: str | None = None, limit: int | None = None) -> list[ModelResponse]:
        """The models whose names begin with `prefix`, by name; at most `limit` of them."""
        return await self._list(ModelPage, "models", limit=limit, prefix=prefix)

    async def get_model(self, model: str) -> ModelResponse:
        """The model, with its aliases and the numbers of its latest and its production version."""
        return await self._transport.get(ModelResponse, "models", model_name(model))

    async def list_versions(
        self,
        model: str,
        *,
        stage: str | None = None,
        tags: Mapping[str, str] | None = None,
        alias: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
    ) -> list[VersionResponse]:
        """The versions of a model, or those in `stage`, with these tags, with `alias`; at most `limit` of them.

        `alias="*"` is any alias. They are newest first, or in the order of `sort`: `metrics.<name>` or `created_at`,
        descending after a dash (`-metrics.f1`); versions without the metric are last. Of more than 1,000 versions the
        newest are sorted, which is remarked.
        """
        filters = {"stage": stage, "tag": [f"{name}={value}" for name, value in (tags or {}).items()], "alias": alias}
        schema: type[PageResponse[VersionResponse]] = SortedVersionPage if sort else VersionPage
        return await self._list(schema, "models", model_name(model), "versions", limit=limit, sort=sort, **filters)

    async def get_version(self, model: str, version: int | str, *, at: datetime | None = None) -> VersionResponse:
        """The version of this number or ref; with `at`, a time with a time zone, the one that was `production` then.

        Raises `ProductionNotFoundError` if none was, or the one that was is deleted.
        """
        path = ("models", model_name(model), "versions", ref(version))
        return await self._transport.get(VersionResponse, *path, at=None if at is None else moment(at))

    async def find_same_files(self, version: VersionResponse) -> int | None:
        """The number of the newest earlier version with the same paths and bytes; `None` if there is none.

        One request, in which the registry looks at the newest 1,000 versions.
        """
        path = ("models", model_name(version.model), "versions")
        page = await self._transport.get(VersionPage, *path, same_files_as=version.version, limit=1)
        return next((each.version for each in page.items if _have_same_files(each, version)), None)

    async def compare_versions(self, model: str, a: int | str, b: int | str) -> ComparisonResponse:
        """Metrics with their differences, tags, and files of two versions side by side."""
        return await self._transport.get(ComparisonResponse, "models", model_name(model), "compare", a=ref(a), b=ref(b))

    async def list_events(
        self, model: str, *, after: int | None = None, limit: int | None = None
    ) -> list[EventResponse]:
        """The events of a model, or those after generation `after`, oldest first; at most `limit` of them."""
        return await self._list(EventPage, "models", model_name(model), "events", limit=limit, after=after)

    async def list_uploads(self, model: str, *, limit: int | None = None) -> list[UploadProgressResponse]:
        """The uploads of a model under way, newest first, with how much has arrived; at most `limit` of them."""
        return await self._list(UploadPage, "models", model_name(model), "uploads", limit=limit)

    async def abandon_upload(self, model: str, version: int) -> None:
        """Give up an upload; what has arrived is removed, and its number is not used again."""
        await self._transport.remove(*_version_path(model, version), "upload")

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
        """Move a version to a stage. The version that was production is archived in the same transaction.

        If `expected_production` (`None` for no version) is given and is not production now, nothing happens and
        `ProductionChangedError` names the holder. With `only_newer`, a number lower than the holder's raises
        `NotNewerError`. With an `idempotency_key`, a repeat within 24 hours does not undo later changes.
        """
        precondition = _without_unset(expected_production=expected_production)
        body = build_body(SetStage, stage=stage, comment=comment, only_newer=only_newer, **precondition)
        path = (*_version_path(model, version), "stage")
        key = not_empty("idempotency_key", idempotency_key)
        return await self._transport.change(VersionResponse, "PUT", *path, body=body, key=key)

    async def rollback(
        self, model: str, *, expected_production: int | Unset | None = UNSET, comment: str | None = None
    ) -> VersionResponse:
        """Move the version that was production before back to production, and return it."""
        body = build_body(RollBack, comment=comment, **_without_unset(expected_production=expected_production))
        return await self._transport.change(VersionResponse, "POST", "models", model_name(model), "rollback", body=body)

    async def set_alias(self, model: str, alias: str, version: int, *, comment: str | None = None) -> AliasResponse:
        """Point an alias at a version."""
        body = build_body(SetAlias, version=version, comment=comment)
        return await self._transport.change(AliasResponse, "PUT", *_alias_path(model, alias), body=body)

    async def remove_alias(self, model: str, alias: str) -> None:
        """Remove an alias."""
        await self._transport.remove(*_alias_path(model, alias))

    async def edit_version(
        self,
        model: str,
        version: int,
        *,
        description: str | Unset = UNSET,
        metrics: Mapping[str, SupportsFloat | None] | Unset = UNSET,
        tags: Mapping[str, str | None] | Unset = UNSET,
    ) -> VersionResponse:
        """Change a version's description, metrics and tags. The latter two are merged; `None` removes a key."""
        body = build_body(EditVersion, **_without_unset(description=description, metrics=metrics, tags=tags))
        return await self._transport.change(VersionResponse, "PATCH", *_version_path(model, version), body=body)

    async def create_model(
        self, model: str, *, description: str | None = None, tags: Mapping[str, str] | None = None
    ) -> ModelResponse:
        """Create a model without versions, with this description and these tags. One that is there stays as it is."""
        given = {name: value for name, value in (("description", description), ("tags", tags)) if value is not None}
        body = build_body(CreateModel, **given)
        return await self._transport.change(ModelResponse, "PUT", "models", model_name(model), body=body)

    async def edit_model(
        self, model: str, *, description: str | Unset = UNSET, tags: Mapping[str, str | None] | Unset = UNSET
    ) -> ModelResponse:
        """Change a model's description and tags. Tags are merged; `None` removes one."""
        body = build_body(EditModel, **_without_unset(description=description, tags=tags))
        return await self._transport.change(ModelResponse, "PATCH", "models", model_name(model), body=body)

    async def delete_version(self, model: str, version: int) -> None:
        """Move a version to the trash. Raises `VersionInUseError` while it is production or has an alias."""
        await self._transport.remove(*_version_path(model, version))

    async def delete_model(self, model: str) -> None:
        """Delete a model with its versions. Raises `ModelNotEmptyError` while one is production or has an alias."""
        await self._transport.remove("models", model_name(model))

    async def restore(self, model: str, version: int) -> VersionResponse:
        """Take a version out of the trash. Raises `VersionNotDeletedError` if it is not there but live."""
        return await self._transport.change(VersionResponse, "POST", *_version_path(model, version), "restore")

    async def _list(
        self, schema: type[PageResponse[Item]], *path: str, limit: int | None, **query: QueryValue
    ) -> list[Item]:
        items: list[Item] = []
        cursor: str | None = None
        while limit is None or len(items) < limit:
            size = _PAGE_SIZE if limit is None else min(_PAGE_SIZE, limit - len(items))
            page = await self._transport.get(schema, *path, limit=size, cursor=cursor, **query)
            items += page.items
            if cursor is None and isinstance(page, SortedVersionPage) and page.older_left_out:
                self._progress.remark("Only the newest 1,000 versions were sorted; there are older ones.")
            cursor = page.next_cursor
            if cursor is None:
                break
        return items


def _without_unset(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not UNSET}


def _have_same_files(earlier: VersionResponse, version: VersionResponse) -> bool:
    """Whether the registry has answered what it was asked: an earlier release knows no such filter."""
    files, others = ({each.path: each.sha256 for each in it.artifacts} for it in (earlier, version))
    return earlier.version < version.version and files == others


def _version_path(model: str, version: int) -> tuple[str, ...]:
    return ("models", model_name(model), "versions", str(version))


def _alias_path(model: str, alias: str) -> tuple[str, ...]:
    return ("models", model_name(model), "aliases", alias_name(alias))
