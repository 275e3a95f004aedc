"""Pairs of inverse functions between domain and items: heads, uploads, events. Versions are in `version_items`."""

from collections.abc import Mapping
from typing import Any, Final

from modelkeep.domain.artifacts import object_key
from modelkeep.domain.events import Event, event_type
from modelkeep.domain.models import FORMAT, Head, TrashedVersion, Version
from modelkeep.domain.uploads import Multipart, PendingArtifact, Reused, Upload
from modelkeep.domain.values import Digest, fold_alias
from modelkeep.repositories.keys import (
    CATALOG,
    EVENT,
    HEAD,
    UPLOAD,
    event_key,
    from_text,
    head_key,
    keyed,
    optional_digest,
    optional_int,
    optional_text,
    optional_time,
    to_text,
    trash_key,
    unknown,
    upload_key,
    version_key,
)
from modelkeep.repositories.version_items import trash_to_item, version_to_item
from modelkeep.storage.table import PARTITION, SORT, TTL, Item, ItemKey

_HEAD: Final = frozenset(
    {
        PARTITION,
        SORT,
        TTL,
        "generation",
        "next_version",
        "latest_version",
        "production_version",
        "production_history",
        "aliases",
        "alias_spellings",
        "description",
        "tags",
        "created_at",
        "updated_at",
        "deleted_at",
        "emptying",
        "operation_id",
        "format",
        "catalog",
    }
)
_UPLOAD: Final = frozenset(
    {
        PARTITION,
        SORT,
        TTL,
        "artifacts",
        "framework",
        "metrics",
        "description",
        "tags",
        "created_at",
        "created_by",
        "expires_at",
        "run_id",
        "source",
        "empty_folders",
        "framework_inferred",
        "revision",
    }
)
_PENDING: Final = frozenset({"path", "size", "sha256", "key", "multipart", "executable", "reused"})
_REUSED: Final = frozenset({"version", "version_id", "parts_sha256"})
_MULTIPART: Final = frozenset({"id", "part_size", "part_count", "parts_sha256"})
_EVENT: Final = frozenset(
    {
        PARTITION,
        SORT,
        TTL,
        "type",
        "operation_id",
        "actor",
        "at",
        "request_id",
        "rule",
        "target_version",
        "origin",
        "target",
        "alias",
        "replaced",
        "comment",
        "commit",
    }
)
"""An expiry counts as known, so that no write puts it back: none of these items may expire, whoever wrote it there."""


def subject_key(subject: Version | Upload | TrashedVersion) -> ItemKey:
    """The key of what a change is about."""
    if isinstance(subject, Version):
        return version_key(subject.model, subject.number)
    if isinstance(subject, Upload):
        return upload_key(subject.model, subject.number)
    return trash_key(subject.version.model, subject.version.number)


def subject_to_item(subject: Version | Upload | TrashedVersion) -> dict[str, Any]:
    """The item of what a change is about."""
    if isinstance(subject, Version):
        return version_to_item(subject)
    if isinstance(subject, Upload):
        return upload_to_item(subject)
    return trash_to_item(subject)


def head_to_item(head: Head, operation_id: str) -> dict[str, Any]:
    """The item of a head, in the format of this release; only that of a model that is not deleted is in the catalog.

    Aliases are stored in lower case, as earlier releases know them; how the others are written is beside them.
    """
    spellings = {fold_alias(alias): alias for alias in head.aliases if alias != fold_alias(alias)}
    item = {
        **head.extra,
        **keyed(head_key(head.model)),
        "generation": head.generation,
        "next_version": head.next_version,
        "latest_version": head.latest_version,
        "production_version": head.production_version,
        "production_history": list(head.production_history),
        "aliases": {fold_alias(alias): number for alias, number in head.aliases.items()},
        **({"alias_spellings": spellings} if spellings else {}),
        "description": head.description,
        "tags": dict(head.tags),
        "created_at": to_text(head.created_at),
        "updated_at": to_text(head.updated_at),
        "deleted_at": optional_text(head.deleted_at),
        "emptying": head.deletion_in_progress,
        "operation_id": operation_id,
        "format": FORMAT,
    }
    return item if head.deleted_at else {**item, "catalog": CATALOG}


def head_from_item(item: Item) -> Head:
    """The inverse of `head_to_item`; a head without a format was written before there was one."""
    spellings = item.get("alias_spellings", {})
    return Head(
        model=item[PARTITION].removeprefix(HEAD),
        generation=int(item["generation"]),
        next_version=int(item["next_version"]),
        latest_version=optional_int(item["latest_version"]),
        production_version=optional_int(item["production_version"]),
        production_history=tuple(int(number) for number in item["production_history"]),
        aliases={spellings.get(alias, alias): int(number) for alias, number in item["aliases"].items()},
        description=item["description"],
        tags=dict(item["tags"]),
        created_at=from_text(item["created_at"]),
        updated_at=from_text(item["updated_at"]),
        deleted_at=optional_time(item["deleted_at"]),
        deletion_in_progress=item["emptying"],
        format=int(item.get("format", 1)),
        extra=unknown(item, _HEAD),
    )


def upload_to_item(upload: Upload) -> dict[str, Any]:
    """The item of an upload."""
    return {
        **upload.extra,
        **keyed(upload_key(upload.model, upload.number)),
        "artifacts": [_pending_to_item(upload, artifact) for artifact in upload.artifacts],
        "framework": upload.framework,
        "metrics": dict(upload.metrics),
        "description": upload.description,
        "tags": dict(upload.tags),
        "created_at": to_text(upload.created_at),
        "created_by": upload.created_by,
        "expires_at": to_text(upload.expires_at),
        "revision": upload.revision,
        **({} if upload.run_id is None else {"run_id": upload.run_id}),
        **({} if upload.source is None else {"source": upload.source}),
        **({"empty_folders": list(upload.empty_folders)} if upload.empty_folders else {}),
        **({"framework_inferred": True} if upload.framework_inferred else {}),
    }


def upload_from_item(item: Item) -> Upload:
    """The inverse of `upload_to_item`."""
    model, number = item[PARTITION].removeprefix(UPLOAD), int(item[SORT])
    return Upload(
        model=model,
        number=number,
        artifacts=tuple(_pending_from_item(model, number, entry) for entry in item["artifacts"]),
        framework=item["framework"],
        metrics=dict(item["metrics"]),
        description=item["description"],
        tags=dict(item["tags"]),
        created_at=from_text(item["created_at"]),
        created_by=item["created_by"],
        expires_at=from_text(item["expires_at"]),
        run_id=item.get("run_id"),
        source=item.get("source"),
        empty_folders=tuple(item.get("empty_folders", ())),
        framework_inferred=bool(item.get("framework_inferred")),
        revision=int(item.get("revision", 0)),
        extra=unknown(item, _UPLOAD),
    )


def event_to_item(event: Event) -> dict[str, Any]:
    """The item of an event, without absent fields. Its version is `target_version`: `version` is the sort key."""
    fields = {
        "type": str(event.type),
        "operation_id": event.operation_id,
        "actor": event.actor,
        "at": to_text(event.at),
        "request_id": event.request_id,
        "rule": event.rule,
        "target_version": event.version,
        "origin": event.origin,
        "target": event.target,
        "alias": event.alias,
        "replaced": event.replaced,
        "comment": event.comment,
        "commit": event.commit,
    }
    present = {name: value for name, value in fields.items() if value is not None}
    return {**event.extra, **keyed(event_key(event.model, event.generation)), **present}


def event_from_item(item: Item) -> Event:
    """The inverse of `event_to_item`."""
    return Event(
        model=item[PARTITION].removeprefix(EVENT),
        generation=int(item[SORT]),
        type=event_type(item["type"]),
        operation_id=item["operation_id"],
        actor=item["actor"],
        at=from_text(item["at"]),
        request_id=item["request_id"],
        rule=item.get("rule"),
        version=optional_int(item.get("target_version")),
        origin=item.get("origin"),
        target=item.get("target"),
        alias=item.get("alias"),
        replaced=optional_int(item.get("replaced")),
        comment=item.get("comment"),
        commit=item.get("commit"),
        extra=unknown(item, _EVENT),
    )


def _pending_to_item(upload: Upload, artifact: PendingArtifact) -> dict[str, Any]:
    item: dict[str, Any] = {
        **artifact.extra,
        "path": artifact.path,
        "size": artifact.size,
        "sha256": artifact.sha256.hex,
        **({"executable": True} if artifact.executable else {}),
    }
    if artifact.key != object_key(upload.model, upload.number, artifact.path):
        item["key"] = artifact.key
    if artifact.multipart:
        parts = artifact.multipart
        item["multipart"] = {
            **parts.extra,
            "id": parts.id,
            "part_size": parts.part_size,
            "part_count": parts.part_count,
            **({} if parts.parts_sha256 is None else {"parts_sha256": parts.parts_sha256.hex}),
        }
    if artifact.reused:
        item["reused"] = _reused_to_item(artifact.reused)
    return item


def _pending_from_item(model: str, number: int, entry: Mapping[str, Any]) -> PendingArtifact:
    parts, reused = entry.get("multipart"), entry.get("reused")
    return PendingArtifact(
        path=entry["path"],
        size=int(entry["size"]),
        sha256=Digest(entry["sha256"]),
        key=entry.get("key") or object_key(model, number, entry["path"]),
        executable=bool(entry.get("executable")),
        multipart=_multipart_from_item(parts) if parts else None,
        reused=_reused_from_item(reused) if reused else None,
        extra=unknown(entry, _PENDING),
    )


def _reused_to_item(reused: Reused) -> dict[str, Any]:
    return {
        **reused.extra,
        "version": reused.version,
        **({} if reused.version_id is None else {"version_id": reused.version_id}),
        **({} if reused.parts_sha256 is None else {"parts_sha256": reused.parts_sha256.hex}),
    }


def _reused_from_item(entry: Mapping[str, Any]) -> Reused:
    return Reused(
        version=int(entry["version"]),
        version_id=entry.get("version_id"),
        parts_sha256=optional_digest(entry.get("parts_sha256")),
        extra=unknown(entry, _REUSED),
    )


def _multipart_from_item(parts: Mapping[str, Any]) -> Multipart:
    return Multipart(
        id=parts["id"],
        part_size=int(parts["part_size"]),
        part_count=int(parts["part_count"]),
        parts_sha256=optional_digest(parts.get("parts_sha256")),
        extra=unknown(parts, _MULTIPART),
    )
