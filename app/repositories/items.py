"""The picture of the table, and the pairs of functions between its items and the domain.

model_name              version      what
<model>                 n >= 1       a complete, live version; nothing else is ever in this partition
$head#<model>           0            the head: what every change goes through
$upload#<model>         n            an upload, until it is completed, abandoned or expired
$trash#<model>          n            a deleted version, until it is purged
$event#<model>          generation   one event of the history
$idem#<digest>          0            what a request with an Idempotency-Key led to; expires by `ttl`

A version's number is in exactly one of the partitions live, upload and trash. The attributes `model_name, version,
stage, s3_path, metrics, created_at, framework, description` of a version are those of the public recipe, and so is
their form: its readers keep reading. Only `$idem#` items carry `ttl`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from app.domain.artifacts import Artifact, Manifest, adopted, close, commit_of, object_key
from app.domain.events import Event, EventType
from app.domain.models import DEFAULT_FRAMEWORK, Head, TrashedVersion, Version
from app.domain.uploads import Multipart, PendingArtifact, Upload
from app.domain.values import Digest, Stage
from app.storage.table import PARTITION, SORT, Item, Key

HEAD: Final = "$head#"
UPLOAD: Final = "$upload#"
TRASH: Final = "$trash#"
EVENT: Final = "$event#"
IDEMPOTENCY: Final = "$idem#"
CATALOG: Final = "models"
"""The one partition of the catalog index: the heads of all models that are not deleted."""

EPOCH: Final = datetime.fromtimestamp(0, UTC)

_VERSION_ATTRIBUTES: Final = frozenset(
    {
        PARTITION, SORT, "stage", "s3_path", "metrics", "created_at", "framework", "description",
        "commit", "tags", "artifacts", "created_by", "stage_changed_at", "stage_changed_by",
    }
)  # fmt: skip
_TRASH_ATTRIBUTES: Final = frozenset({"deleted_at", "deleted_by", "purge_after", "trashed_stage"})


def head_key(model: str) -> Key:
    """Where a model's head lies."""
    return Key(f"{HEAD}{model}", 0)


def version_key(model: str, number: int) -> Key:
    """Where a live version lies."""
    return Key(model, number)


def upload_key(model: str, number: int) -> Key:
    """Where an upload lies."""
    return Key(f"{UPLOAD}{model}", number)


def trash_key(model: str, number: int) -> Key:
    """Where a deleted version lies."""
    return Key(f"{TRASH}{model}", number)


def event_key(model: str, generation: int) -> Key:
    """Where the event that made this generation lies."""
    return Key(f"{EVENT}{model}", generation)


def idempotency_key(name: str) -> Key:
    """Where the outcome of a request with an Idempotency-Key lies."""
    return Key(f"{IDEMPOTENCY}{name}", 0)


def subject_key(subject: Version | Upload | TrashedVersion) -> Key:
    """Where the subject of a change lies."""
    if isinstance(subject, Version):
        return version_key(subject.model, subject.number)
    if isinstance(subject, Upload):
        return upload_key(subject.model, subject.number)
    return trash_key(subject.version.model, subject.version.number)


def subject_to_item(subject: Version | Upload | TrashedVersion) -> dict[str, Any]:
    """The item of the subject of a change."""
    if isinstance(subject, Version):
        return version_to_item(subject)
    if isinstance(subject, Upload):
        return upload_to_item(subject)
    return trash_to_item(subject)


def head_to_item(head: Head, operation_id: str) -> dict[str, Any]:
    """The head as kept; a deleted model is not in the catalog."""
    item = {
        **_keyed(head_key(head.model)),
        "generation": head.generation,
        "next_version": head.next_version,
        "latest_version": head.latest_version,
        "production_version": head.production_version,
        "production_history": list(head.production_history),
        "aliases": dict(head.aliases),
        "description": head.description,
        "tags": dict(head.tags),
        "created_at": to_text(head.created_at),
        "updated_at": to_text(head.updated_at),
        "deleted_at": _optional_text(head.deleted_at),
        "emptying": head.emptying,
        "operation_id": operation_id,
    }
    return item if head.deleted_at else {**item, "catalog": CATALOG}


def head_from_item(item: Item) -> Head:
    """The inverse of `head_to_item`."""
    return Head(
        model=item[PARTITION].removeprefix(HEAD),
        generation=int(item["generation"]),
        next_version=int(item["next_version"]),
        latest_version=_optional_int(item["latest_version"]),
        production_version=_optional_int(item["production_version"]),
        production_history=tuple(int(number) for number in item["production_history"]),
        aliases={alias: int(number) for alias, number in item["aliases"].items()},
        description=item["description"],
        tags=dict(item["tags"]),
        created_at=from_text(item["created_at"]),
        updated_at=from_text(item["updated_at"]),
        deleted_at=_optional_time(item["deleted_at"]),
        emptying=item["emptying"],
    )


def version_to_item(version: Version) -> dict[str, Any]:
    """A version as kept: the recipe's attributes, ours, and whatever others had written beside them."""
    verified = any(artifact.sha256 for artifact in version.artifacts)
    ours = {
        **_keyed(version_key(version.model, version.number)),
        "stage": version.stage.value,
        "s3_path": version.s3_path,
        "metrics": dict(version.metrics),
        "created_at": to_text(version.created_at),
        "framework": version.framework,
        "description": version.description,
        "commit": version.commit,
        "tags": dict(version.tags),
        "created_by": version.created_by,
        "stage_changed_at": to_text(version.stage_changed_at),
        "stage_changed_by": version.stage_changed_by,
    }
    if verified:
        ours["artifacts"] = [_artifact_to_item(version, artifact) for artifact in version.artifacts]
    extra = dict(version.extra)
    foreign_metrics = extra.pop("metrics", {})
    return {**ours, **extra, "metrics": {**foreign_metrics, **version.metrics}}


def version_from_item(item: Item) -> Version:
    """The inverse of `version_to_item`; an item of the public recipe is read as well, whatever it lacks."""
    model, number = item[PARTITION], int(item[SORT])
    s3_path = item.get("s3_path") or ""
    manifest = _manifest(item, model, number, s3_path)
    metrics = item.get("metrics") or {}
    created_at = _lenient_time(item.get("created_at"))
    return Version(
        model=model,
        number=number,
        commit=item.get("commit") or commit_of(model, number, manifest),
        stage=_lenient_stage(item.get("stage")),
        s3_path=s3_path,
        framework=item.get("framework") or DEFAULT_FRAMEWORK,
        metrics={name: value for name, value in metrics.items() if isinstance(value, Decimal)},
        description=item.get("description") or "",
        tags=dict(item.get("tags") or {}),
        artifacts=manifest,
        created_at=created_at,
        created_by=item.get("created_by"),
        stage_changed_at=_lenient_time(item.get("stage_changed_at"), otherwise=created_at),
        stage_changed_by=item.get("stage_changed_by"),
        extra=_extra(item, metrics, created_at),
    )


def upload_to_item(upload: Upload) -> dict[str, Any]:
    """An upload as kept."""
    return {
        **_keyed(upload_key(upload.model, upload.number)),
        "artifacts": [_pending_to_item(upload, artifact) for artifact in upload.artifacts],
        "framework": upload.framework,
        "metrics": dict(upload.metrics),
        "description": upload.description,
        "tags": dict(upload.tags),
        "created_at": to_text(upload.created_at),
        "created_by": upload.created_by,
        "expires_at": to_text(upload.expires_at),
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
    )


def trash_to_item(trashed: TrashedVersion) -> dict[str, Any]:
    """A deleted version as kept. It carries no `stage`, so no index shows it."""
    item = version_to_item(trashed.version)
    stage = item.pop("stage")
    return {
        **item,
        **_keyed(subject_key(trashed)),
        "trashed_stage": stage,
        "deleted_at": to_text(trashed.deleted_at),
        "deleted_by": trashed.deleted_by,
        "purge_after": to_text(trashed.purge_after),
    }


def trash_from_item(item: Item) -> TrashedVersion:
    """The inverse of `trash_to_item`."""
    kept = {name: value for name, value in item.items() if name not in _TRASH_ATTRIBUTES}
    live = {**kept, PARTITION: item[PARTITION].removeprefix(TRASH), "stage": item["trashed_stage"]}
    return TrashedVersion(
        version=version_from_item(live),
        deleted_at=from_text(item["deleted_at"]),
        deleted_by=item["deleted_by"],
        purge_after=from_text(item["purge_after"]),
    )


def event_to_item(event: Event) -> dict[str, Any]:
    """An event as kept; what it lacks is left out. What it is about cannot be called `version`: that is the key."""
    fields = {
        "type": event.type.value,
        "operation_id": event.operation_id,
        "actor": event.actor,
        "at": to_text(event.at),
        "request_id": event.request_id,
        "target_version": event.version,
        "origin": event.origin,
        "target": event.target,
        "alias": event.alias,
        "replaced": event.replaced,
        "comment": event.comment,
    }
    present = {name: value for name, value in fields.items() if value is not None}
    return {**_keyed(event_key(event.model, event.generation)), **present}


def event_from_item(item: Item) -> Event:
    """The inverse of `event_to_item`."""
    return Event(
        model=item[PARTITION].removeprefix(EVENT),
        generation=int(item[SORT]),
        type=EventType(item["type"]),
        operation_id=item["operation_id"],
        actor=item["actor"],
        at=from_text(item["at"]),
        request_id=item["request_id"],
        version=_optional_int(item.get("target_version")),
        origin=item.get("origin"),
        target=item.get("target"),
        alias=item.get("alias"),
        replaced=_optional_int(item.get("replaced")),
        comment=item.get("comment"),
    )


def to_text(time: datetime) -> str:
    """A time as kept and as sent: RFC 3339, UTC, with Z and always microseconds, so that text order is time order."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    """The inverse of `to_text`; a time without a zone is taken as UTC."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _keyed(key: Key) -> dict[str, Any]:
    return {PARTITION: key.partition, SORT: key.sort}


def _artifact_to_item(version: Version, artifact: Artifact) -> dict[str, Any]:
    default = object_key(version.model, version.number, artifact.path)
    return {
        "path": artifact.path,
        "size": artifact.size,
        "sha256": artifact.sha256.hex if artifact.sha256 else None,
        **({} if artifact.key == default else {"key": artifact.key}),
        **({} if artifact.version_id is None else {"version_id": artifact.version_id}),
    }


def _manifest(item: Item, model: str, number: int, s3_path: str) -> Manifest:
    if "artifacts" not in item:
        return (adopted(s3_path),) if s3_path else ()
    return close(
        Artifact(
            path=entry["path"],
            size=_optional_int(entry["size"]),
            sha256=Digest(entry["sha256"]) if entry["sha256"] else None,
            key=entry.get("key") or object_key(model, number, entry["path"]),
            version_id=entry.get("version_id"),
        )
        for entry in item["artifacts"]
    )


def _pending_to_item(upload: Upload, artifact: PendingArtifact) -> dict[str, Any]:
    item: dict[str, Any] = {"path": artifact.path, "size": artifact.size, "sha256": artifact.sha256.hex}
    if artifact.key != object_key(upload.model, upload.number, artifact.path):
        item["key"] = artifact.key
    if artifact.multipart:
        parts = artifact.multipart
        item["multipart"] = {"id": parts.id, "part_size": parts.part_size, "part_count": parts.part_count}
    return item


def _pending_from_item(model: str, number: int, entry: Mapping[str, Any]) -> PendingArtifact:
    parts = entry.get("multipart")
    return PendingArtifact(
        path=entry["path"],
        size=int(entry["size"]),
        sha256=Digest(entry["sha256"]),
        key=entry.get("key") or object_key(model, number, entry["path"]),
        multipart=Multipart(id=parts["id"], part_size=int(parts["part_size"]), part_count=int(parts["part_count"]))
        if parts
        else None,
    )


def _extra(item: Item, metrics: Mapping[str, Any], created_at: datetime) -> dict[str, Any]:
    extra = {name: value for name, value in item.items() if name not in _VERSION_ATTRIBUTES}
    foreign = {name: value for name, value in metrics.items() if not isinstance(value, Decimal)}
    if foreign:
        extra["metrics"] = foreign
    if item.get("created_at") not in (None, to_text(created_at)):
        extra["created_at"] = item["created_at"]
    return extra


def _lenient_stage(text: Any) -> Stage:
    return Stage(text) if text in set(Stage) else Stage.ARCHIVED


def _lenient_time(text: Any, *, otherwise: datetime = EPOCH) -> datetime:
    try:
        return from_text(text)
    except (TypeError, ValueError):
        return otherwise


def _optional_int(value: Any) -> int | None:
    return None if value is None else int(value)


def _optional_text(time: datetime | None) -> str | None:
    return None if time is None else to_text(time)


def _optional_time(text: str | None) -> datetime | None:
    return None if text is None else from_text(text)
