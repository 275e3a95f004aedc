"""Versions and the trash as items: the public recipe's attributes in its own form, and ours beside them.

model_name, version, stage, s3_path,                   as in the public recipe, so that its readers still work
metrics, created_at, framework, description
registry                                               a map of everything that only this registry stores
anything else, in the item, in `registry` or below     written by other programs or a newer release; put back unchanged,
                                                       but for a time in `ttl`: DynamoDB would remove the item then
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from modelkeep.domain.artifacts import Artifact, Manifest, adopted, commit_of, manifest_of, object_key
from modelkeep.domain.models import DEFAULT_FRAMEWORK, TrashedVersion, Version
from modelkeep.domain.values import Stage
from modelkeep.repositories.keys import (
    TRASH,
    from_text,
    keyed,
    optional_digest,
    optional_int,
    to_text,
    trash_key,
    unknown,
    version_key,
)
from modelkeep.storage.table import PARTITION, SORT, TTL, Item

EPOCH: Final = datetime.fromtimestamp(0, UTC)
"""The creation time of a version that has none."""

OURS: Final = "registry"

_KINDS: Final[Mapping[str, type]] = {
    "s3_path": str,
    "metrics": Mapping,
    "created_at": str,
    "framework": str,
    "description": str,
    OURS: Mapping,
}
_REGISTRY: Final = frozenset(
    {
        "commit",
        "tags",
        "created_by",
        "stage_changed_at",
        "stage_changed_by",
        "framework_inferred",
        "artifacts",
        "run_id",
        "source",
        "empty_folders",
    }
)
_ARTIFACT: Final = frozenset({"path", "size", "sha256", "key", "version_id", "parts_sha256", "executable"})
_TRASH: Final = frozenset({"stage", "deleted_at", "deleted_by", "purge_after"})


def version_to_item(version: Version) -> dict[str, Any]:
    """The item of a version."""
    extra = dict(version.extra)
    foreign = extra.get("metrics")
    item = {
        **keyed(version_key(version.model, version.number)),
        "stage": version.stage.value,
        "s3_path": version.s3_path,
        "metrics": {**(foreign if isinstance(foreign, Mapping) else {}), **version.metrics},
        "created_at": extra.pop("created_at", to_text(version.created_at)),
        "framework": version.framework,
        "description": version.description,
        OURS: _ours(version),
    }
    return {**item, **{name: value for name, value in extra.items() if not item.get(name)}}


def version_from_item(item: Item) -> Version:
    """The inverse of `version_to_item`; also reads an item of the public recipe, whatever it lacks."""
    model, number = item[PARTITION], int(item[SORT])
    known = {name: item[name] for name, kind in _KINDS.items() if isinstance(item.get(name), kind)}
    ours = known.get(OURS, {})
    manifest = _manifest(ours, model, number, known.get("s3_path", ""))
    empty_folders = tuple(ours.get("empty_folders", ()))
    metrics = known.get("metrics", {})
    created_at = _lenient_time(item.get("created_at"))
    return Version(
        model=model,
        number=number,
        commit=ours.get("commit") or commit_of(model, number, manifest, empty_folders),
        stage=_lenient_stage(item.get("stage")),
        s3_path=known.get("s3_path", ""),
        framework=known.get("framework") or DEFAULT_FRAMEWORK,
        metrics={name: value for name, value in metrics.items() if isinstance(value, Decimal)},
        description=known.get("description", ""),
        tags=dict(ours.get("tags", {})),
        artifacts=manifest,
        created_at=created_at,
        created_by=ours.get("created_by"),
        stage_changed_at=_lenient_time(ours.get("stage_changed_at"), otherwise=created_at),
        stage_changed_by=ours.get("stage_changed_by"),
        run_id=ours.get("run_id"),
        source=ours.get("source"),
        empty_folders=empty_folders,
        framework_inferred=bool(ours.get("framework_inferred")),
        extra=_extra(item, known, created_at),
        registry_extra=unknown(ours, _REGISTRY),
    )


def trash_to_item(trashed: TrashedVersion) -> dict[str, Any]:
    """The item of a deleted version. It has no attribute `stage`, so that no index lists it."""
    item = version_to_item(trashed.version)
    trash = {
        **trashed.extra,
        "stage": item.pop("stage"),
        "deleted_at": to_text(trashed.deleted_at),
        "deleted_by": trashed.deleted_by,
        "purge_after": to_text(trashed.purge_after),
    }
    where = keyed(trash_key(trashed.version.model, trashed.version.number))
    return {**item, **where, OURS: {**item[OURS], "trash": trash}}


def trash_from_item(item: Item) -> TrashedVersion:
    """The inverse of `trash_to_item`."""
    ours = dict(item[OURS])
    trash = ours.pop("trash")
    live = {**item, PARTITION: item[PARTITION].removeprefix(TRASH), "stage": trash["stage"], OURS: ours}
    return TrashedVersion(
        version=version_from_item(live),
        deleted_at=from_text(trash["deleted_at"]),
        deleted_by=trash["deleted_by"],
        purge_after=from_text(trash["purge_after"]),
        extra=unknown(trash, _TRASH),
    )


def _ours(version: Version) -> dict[str, Any]:
    ours: dict[str, Any] = {
        **version.registry_extra,
        "commit": version.commit,
        "tags": dict(version.tags),
        "created_by": version.created_by,
        "stage_changed_at": to_text(version.stage_changed_at),
        "stage_changed_by": version.stage_changed_by,
    }
    if version.run_id is not None:
        ours["run_id"] = version.run_id
    if version.source is not None:
        ours["source"] = version.source
    if version.framework_inferred:
        ours["framework_inferred"] = True
    if any(artifact.sha256 or artifact.extra for artifact in version.artifacts):
        ours["artifacts"] = [_artifact_to_item(version, artifact) for artifact in version.artifacts]
    if version.empty_folders:
        ours["empty_folders"] = list(version.empty_folders)
    return ours


def _artifact_to_item(version: Version, artifact: Artifact) -> dict[str, Any]:
    default = object_key(version.model, version.number, artifact.path)
    return {
        **artifact.extra,
        "path": artifact.path,
        "size": artifact.size,
        "sha256": artifact.sha256.hex if artifact.sha256 else None,
        **({} if artifact.key == default else {"key": artifact.key}),
        **({} if artifact.version_id is None else {"version_id": artifact.version_id}),
        **({} if artifact.parts_sha256 is None else {"parts_sha256": artifact.parts_sha256.hex}),
        **({"executable": True} if artifact.executable else {}),
    }


def _manifest(ours: Mapping[str, Any], model: str, number: int, s3_path: str) -> Manifest:
    if "artifacts" not in ours:
        return (adopted(s3_path),) if s3_path else ()
    return manifest_of(
        Artifact(
            path=entry["path"],
            size=optional_int(entry["size"]),
            sha256=optional_digest(entry["sha256"]),
            key=entry.get("key") or object_key(model, number, entry["path"]),
            version_id=entry.get("version_id"),
            parts_sha256=optional_digest(entry.get("parts_sha256")),
            executable=bool(entry.get("executable")),
            extra=unknown(entry, _ARTIFACT),
        )
        for entry in ours["artifacts"]
    )


def _extra(item: Item, known: Mapping[str, Any], created_at: datetime) -> dict[str, Any]:
    expiry = {TTL} if isinstance(item.get(TTL), Decimal) else set()
    extra = {name: value for name, value in item.items() if name not in {PARTITION, SORT, "stage", *known, *expiry}}
    foreign = {name: value for name, value in known.get("metrics", {}).items() if not isinstance(value, Decimal)}
    if foreign:
        extra["metrics"] = foreign
    if item.get("created_at") not in (None, to_text(created_at)):
        extra["created_at"] = item["created_at"]
    return extra


def _lenient_stage(text: Any) -> Stage:
    return next((stage for stage in Stage if stage == text), Stage.ARCHIVED)


def _lenient_time(text: Any, *, otherwise: datetime = EPOCH) -> datetime:
    try:
        return from_text(text)
    except (TypeError, ValueError):
        return otherwise
