"""A version is made of another one's objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from modelkeep.domain.artifacts import Manifest, commit_of
from modelkeep.domain.changes.change import Change, CreateItem, RequireItem, advance, event_of
from modelkeep.domain.changes.edits import merged, replaced
from modelkeep.domain.changes.models import opened
from modelkeep.domain.events import EventType, Operation
from modelkeep.domain.models import Head, Version
from modelkeep.domain.uploads import MAX_METRICS, MAX_TAGS
from modelkeep.domain.values import UNSET, Stage, Unset


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """The request for a version of the objects of version `number` of `model`, with its metadata.

    What is given here is in place of the source's; metrics and tags are set over it, one by one. `source` is by default
    the address of that version, in MLflow's form.
    """

    model: str
    number: int
    framework: str | None = None
    metrics: Mapping[str, Decimal] = field(default_factory=dict)
    description: str | Unset = UNSET
    tags: Mapping[str, str] = field(default_factory=dict)
    run_id: str | None = None
    source: str | None = None


def copy(
    model: str,
    head: Head | None,
    source: Version,
    request: Copy,
    operation: Operation,
    *,
    number: int,
    manifest: Manifest,
    s3_path: str,
) -> Change[Version]:
    """Make version `number` of the objects of `source`, which is live when this is written.

    `manifest` is what the store confirmed of the source. Creates the model, or revives a deleted one. Raises
    `ModelBeingDeletedError`, `MetadataTooLargeError`.
    """
    base = opened(model, head, operation)
    version = Version(
        model=model,
        number=number,
        commit=commit_of(model, number, manifest, source.empty_folders),
        stage=Stage.STAGING,
        s3_path=s3_path,
        framework=request.framework or source.framework,
        framework_inferred=source.framework_inferred and request.framework is None,
        metrics=merged("metrics", source.metrics, request.metrics, limit=MAX_METRICS),
        description=replaced(source.description, request.description),
        tags=merged("tags", source.tags, request.tags, limit=MAX_TAGS),
        run_id=request.run_id or source.run_id,
        source=request.source or f"models:/{source.model}/{source.number}",
        artifacts=manifest,
        empty_folders=source.empty_folders,
        created_at=operation.at,
        created_by=operation.actor,
        stage_changed_at=operation.at,
        stage_changed_by=operation.actor,
    )
    latest = max(base.latest_version or 0, number)
    after = advance(replace(base, next_version=number + 1, latest_version=latest), operation)
    event = event_of(
        after,
        operation,
        EventType.VERSION_COMPLETED,
        version=number,
        origin=f"{source.model}@{source.number}",
        target=version.stage,
        commit=version.commit,
    )
    lender = () if source.model == model else (RequireItem(source),)
    item_changes = (CreateItem(version, grows=True), *lender)
    return Change(
        head=after, events=(event,), item_changes=item_changes, result=version.with_head(after), version=number
    )
