"""What is put into the table is what comes back, and what others put there stays as they wrote it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkeep.domain.access.grants import Grant
from modelkeep.domain.access.tokens import Token
from modelkeep.domain.artifacts import Artifact, commit_of, manifest_of, object_key
from modelkeep.domain.events import Event, EventType
from modelkeep.domain.models import Head, TrashedVersion, Version
from modelkeep.domain.uploads import Multipart, PendingArtifact, Upload, completed
from modelkeep.domain.values import ALIAS_PATTERN, Digest, Stage, fold_alias
from modelkeep.repositories import items, keys, tokens, version_items
from modelkeep.repositories.version_items import EPOCH
from modelkeep.storage import attributes
from tests.support.builders import MODEL, NOW, head, operation, upload, version

NUMBERS = st.integers(1, 2**32 - 1)
TIMES = st.datetimes(timezones=st.just(UTC)).filter(lambda time: 1 < time.year < 9999)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10)
DIGESTS = st.binary(min_size=32, max_size=32).map(lambda raw: Digest(raw.hex()))
METRICS = st.dictionaries(NAMES, st.decimals(-(10**9), 10**9, allow_nan=False, places=6), max_size=4)
TAGS = st.dictionaries(NAMES, TEXTS, max_size=4)
STAGES = st.sampled_from(Stage)
OPTIONAL_TIMES = st.none() | TIMES
LATER_NAMES = NAMES.map("x-{}".format)
EXTRAS = st.dictionaries(LATER_NAMES, TEXTS | st.none() | st.booleans() | st.dictionaries(NAMES, TEXTS), max_size=3)
"""What a newer release wrote: no name is one of ours."""
ALIASES = st.from_regex(ALIAS_PATTERN.replace("$", r"\Z"))
PATHS = st.sampled_from(["model.pt", "config/a.json", "config/b.json", "README.md"])


def stored(item: dict[str, Any]) -> dict[str, Any]:
    """The item as a table gives it back."""
    return attributes.from_text(attributes.to_text(item))


HEADS = st.builds(
    Head,
    model=st.just(MODEL),
    generation=NUMBERS,
    next_version=NUMBERS,
    latest_version=st.none() | NUMBERS,
    production_version=st.none() | NUMBERS,
    production_history=st.lists(NUMBERS, max_size=20).map(tuple),
    aliases=st.lists(st.tuples(ALIASES, NUMBERS), max_size=4, unique_by=lambda pair: fold_alias(pair[0])).map(dict),
    description=TEXTS,
    tags=TAGS,
    created_at=TIMES,
    updated_at=TIMES,
    deleted_at=OPTIONAL_TIMES,
    deletion_in_progress=st.booleans(),
    extra=EXTRAS,
)


@st.composite
def versions(draw: st.DrawFn) -> Version:
    number = draw(NUMBERS)
    manifest = manifest_of(
        Artifact(
            path=path,
            size=draw(st.integers(0, 5 * 2**40)),
            sha256=draw(DIGESTS),
            key=draw(st.sampled_from([object_key(MODEL, number, path), f"models/{MODEL}/v1/{path}"])),
            version_id=draw(st.none() | NAMES),
            executable=draw(st.booleans()),
            extra=draw(EXTRAS),
        )
        for path in draw(st.sets(PATHS, min_size=1))
    )
    return Version(
        model=MODEL,
        number=number,
        commit=commit_of(MODEL, number, manifest),
        stage=draw(STAGES),
        s3_path=f"s3://bucket/models/{MODEL}/v{number}/",
        framework=draw(NAMES),
        framework_inferred=draw(st.booleans()),
        metrics=draw(METRICS),
        description=draw(TEXTS),
        tags=draw(TAGS),
        run_id=draw(st.none() | NAMES),
        source=draw(st.none() | NAMES),
        artifacts=manifest,
        created_at=draw(TIMES),
        created_by=draw(st.none() | NAMES),
        stage_changed_at=draw(TIMES),
        stage_changed_by=draw(st.none() | NAMES),
        empty_folders=tuple(sorted(draw(st.sets(PATHS)))),
        extra=draw(EXTRAS),
        registry_extra=draw(EXTRAS),
    )


@st.composite
def uploads(draw: st.DrawFn) -> Upload:
    number = draw(NUMBERS)
    multiparts = st.builds(Multipart, id=NAMES, part_size=NUMBERS, part_count=st.integers(1, 1000), extra=EXTRAS)
    return Upload(
        model=MODEL,
        number=number,
        artifacts=tuple(
            PendingArtifact(
                path=path,
                size=draw(st.integers(0, 5 * 2**40)),
                sha256=draw(DIGESTS),
                key=draw(st.sampled_from([object_key(MODEL, number, path), f"elsewhere/{path}"])),
                executable=draw(st.booleans()),
                multipart=draw(st.none() | multiparts),
                extra=draw(EXTRAS),
            )
            for path in draw(st.sets(PATHS, min_size=1))
        ),
        framework=draw(NAMES),
        framework_inferred=draw(st.booleans()),
        metrics=draw(METRICS),
        description=draw(TEXTS),
        tags=draw(TAGS),
        run_id=draw(st.none() | NAMES),
        source=draw(st.none() | NAMES),
        created_at=draw(TIMES),
        created_by=draw(NAMES),
        expires_at=draw(TIMES),
        empty_folders=tuple(sorted(draw(st.sets(PATHS)))),
        extra=draw(EXTRAS),
    )


EVENTS = st.builds(
    Event,
    model=st.just(MODEL),
    generation=NUMBERS,
    type=st.sampled_from(EventType) | st.just("approval_given"),
    operation_id=NAMES,
    actor=NAMES,
    at=TIMES,
    request_id=TEXTS,
    version=st.none() | NUMBERS,
    origin=st.none() | NAMES,
    target=st.none() | NAMES,
    alias=st.none() | NAMES,
    replaced=st.none() | NUMBERS,
    comment=st.none() | TEXTS,
    extra=EXTRAS,
)


@given(HEADS)
def test_a_head_comes_back_as_it_was(head: Head) -> None:
    assert items.head_from_item(stored(items.head_to_item(head, "operation"))) == head


@given(versions())
def test_a_version_comes_back_as_it_was(version: Version) -> None:
    assert version_items.version_from_item(stored(version_items.version_to_item(version))) == version


@given(uploads())
def test_an_upload_comes_back_as_it_was(upload: Upload) -> None:
    assert items.upload_from_item(stored(items.upload_to_item(upload))) == upload


@given(
    st.builds(TrashedVersion, version=versions(), deleted_at=TIMES, deleted_by=NAMES, purge_after=TIMES, extra=EXTRAS)
)
def test_a_deleted_version_comes_back_as_it_was(trashed: TrashedVersion) -> None:
    assert version_items.trash_from_item(stored(version_items.trash_to_item(trashed))) == trashed


@given(EVENTS)
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    assert items.event_from_item(stored(items.event_to_item(event))) == event


TOKENS = st.builds(
    Token,
    id=st.just("0123456789A"),
    digest=TEXTS,
    principal=NAMES,
    grants=st.lists(
        st.builds(
            Grant,
            rule=st.just("token:0123456789A"),
            entries=st.just(("reader",)),
            models=st.just(("*",)),
            denies=st.booleans(),
            extra=EXTRAS,
        ),
        max_size=2,
    ).map(tuple),
    created_at=TIMES,
    created_by=NAMES,
    expires_at=TIMES.filter(lambda time: time.year < 9000),
    rules=st.lists(NAMES, max_size=2).map(tuple),
    revoked_at=OPTIONAL_TIMES,
    last_used_at=OPTIONAL_TIMES,
    revision=NUMBERS,
    extra=EXTRAS,
)


@given(TOKENS)
def test_a_token_comes_back_as_it_was(token: Token) -> None:
    assert tokens.from_item(stored(tokens.to_item(token))) == token


def test_what_is_known_is_nowhere_taken_for_unknown() -> None:
    own = Token(id="0", digest="", principal="p", grants=(), created_at=NOW, created_by="p", expires_at=NOW)
    begun = upload()
    gone = TrashedVersion(version=version(), deleted_at=NOW, deleted_by="ci", purge_after=NOW)
    for listed in (own, replace(own, rules=("r",))):
        assert tokens.from_item(tokens.to_item(listed)).extra == {}
    assert items.upload_from_item(items.upload_to_item(begun)).extra == {}
    assert items.head_from_item(items.head_to_item(head(), "operation")).extra == {}
    back = version_items.trash_from_item(version_items.trash_to_item(gone))
    assert (back.extra, back.version.extra, back.version.registry_extra) == ({}, {}, {})


def test_what_an_upload_carries_goes_on_into_the_version() -> None:
    begun = upload(extra={"license": "MIT"})
    manifest = (replace(version().artifacts[0], extra={"media_type": "a/b"}),)
    item = version_items.version_to_item(completed(begun, manifest, operation(), s3_path="s3://b/k"))
    assert item["registry"]["license"] == "MIT"
    assert item["registry"]["artifacts"][0]["media_type"] == "a/b"


def test_artifacts_that_a_newer_release_described_are_kept_before_they_are_verified() -> None:
    entry = {"path": "m", "size": None, "sha256": None, "key": "models/m", "media_type": "a/b"}
    item = {"model_name": MODEL, "version": Decimal(1), "registry": {"artifacts": [entry]}}
    assert put_back(item)["registry"]["artifacts"] == [entry]


@given(versions())
def test_aliases_are_kept_in_the_head_alone(version: Version) -> None:
    assert "aliases" not in version_items.version_to_item(version)


@given(TIMES)
def test_a_time_comes_back_and_text_order_is_time_order(time: datetime) -> None:
    assert keys.from_text(keys.to_text(time)) == time
    assert keys.to_text(time) < keys.to_text(time + timedelta(microseconds=1))


def test_a_time_of_any_zone_is_kept_in_utc() -> None:
    east = datetime(2026, 1, 31, 14, tzinfo=timezone(timedelta(hours=2)))
    assert keys.to_text(east) == "2026-01-31T12:00:00.000000Z"


def test_a_deleted_model_is_not_in_the_catalog() -> None:
    assert "catalog" in items.head_to_item(head(), "operation")
    assert "catalog" not in items.head_to_item(head(deleted_at=NOW), "operation")


def test_a_deleted_version_is_in_no_index() -> None:
    gone = TrashedVersion(version=version(), deleted_at=NOW, deleted_by="ci", purge_after=NOW)
    assert {"stage", "catalog"}.isdisjoint(version_items.trash_to_item(gone))


def test_head_and_event_carry_the_operation() -> None:
    assert items.head_to_item(head(), "operation")["operation_id"] == "operation"


def test_nothing_but_an_outcome_ever_expires() -> None:
    gone = TrashedVersion(version=version(), deleted_at=NOW, deleted_by="ci", purge_after=NOW)
    event = Event(
        model=MODEL,
        generation=1,
        type=EventType.MODEL_EDITED,
        operation_id=operation().id,
        actor="ci",
        at=NOW,
        request_id="",
    )
    kept = [
        items.head_to_item(head(), "operation"),
        version_items.version_to_item(version()),
        version_items.trash_to_item(gone),
        items.event_to_item(event),
    ]
    assert all("ttl" not in item for item in kept)


def test_an_expiry_is_not_put_back_into_what_must_last() -> None:
    written = items.head_to_item(head(), "operation") | {"ttl": Decimal(1)}
    assert "ttl" not in items.head_to_item(items.head_from_item(written), "operation")
    begun = items.upload_to_item(upload()) | {"ttl": Decimal(1)}
    assert "ttl" not in items.upload_to_item(items.upload_from_item(begun))
    live = version_items.version_to_item(version()) | {"ttl": Decimal(1)}
    assert "ttl" not in version_items.version_to_item(version_items.version_from_item(live))
    gone = TrashedVersion(version=version(), deleted_at=NOW, deleted_by="ci", purge_after=NOW)
    deleted = version_items.trash_to_item(gone) | {"ttl": Decimal(1)}
    assert "ttl" not in version_items.trash_to_item(version_items.trash_from_item(deleted))


def test_a_ttl_that_is_no_time_is_another_program_s_own() -> None:
    live = version_items.version_to_item(version()) | {"ttl": "two weeks"}
    assert version_items.version_to_item(version_items.version_from_item(live))["ttl"] == "two weeks"


RECIPE = {
    "model_name": MODEL,
    "version": Decimal(3),
    "stage": "production",
    "s3_path": "s3://models-bucket/models/fraud-detector/v3/model.pt",
    "metrics": {"accuracy": Decimal("0.967"), "f1": Decimal("0.941")},
    "created_at": "2025-06-01T10:15:30.123456",
    "framework": "pytorch",
    "description": "Retrained",
}
OURS = {"registry"}


def put_back(item: dict[str, Any]) -> dict[str, Any]:
    """Read an item and write it again, through a table."""
    return stored(version_items.version_to_item(version_items.version_from_item(stored(item))))


def test_an_item_of_the_recipe_is_read() -> None:
    found = version_items.version_from_item(RECIPE)
    assert (found.number, found.stage, found.framework) == (3, Stage.PRODUCTION, "pytorch")
    assert found.metrics == {"accuracy": Decimal("0.967"), "f1": Decimal("0.941")}
    assert found.created_at == datetime(2025, 6, 1, 10, 15, 30, 123456, UTC)
    assert (found.stage_changed_at, found.stage_changed_by, found.created_by) == (found.created_at, None, None)
    (artifact,) = found.artifacts
    assert (artifact.path, artifact.key) == ("model.pt", "models/fraud-detector/v3/model.pt")
    assert (artifact.size, artifact.sha256, found.size) == (None, None, None)
    assert len(found.commit) == 40


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"metrics": {}},
        {"metrics": {"accuracy": Decimal("0.9"), "report": {"rows": [Decimal(1), "x"]}, "note": "n/a", "ok": True}},
        {"created_at": "2025-06-01"},
        {"created_at": "2025-06-01T10:15:30+02:00"},
        {"created_at": "2025-06-01T10:15:30Z"},
        {"created_at": "yesterday"},
        {"created_at": Decimal(1717236930)},
        {"approved_by": "bob", "shape": [Decimal(1), Decimal(28)], "raw": b"\x00", "labels": frozenset({"a"})},
        {"s3_path": "s3://elsewhere/some/key/weights.bin"},
        {"metrics": "accuracy 0.9"},
        {"metrics": ["accuracy", Decimal("0.9")]},
        {"tags": ["a", "b"], "artifacts": "one", "commit": "1f3e5a7", "deleted_at": "never", "purge_after": None},
        {"s3_path": Decimal(7), "description": Decimal(8)},
    ],
    ids=str,
)
def test_an_item_of_the_recipe_is_put_back_as_it_was_beside_what_is_ours(odd: dict[str, Any]) -> None:
    item = RECIPE | odd
    again = put_back(item)
    assert {name: value for name, value in again.items() if name not in OURS} == item
    assert set(again) - set(item) == OURS
    assert put_back(again) == again


@pytest.mark.parametrize("name", ["stage", "s3_path", "metrics", "created_at", "framework", "description"])
def test_an_item_that_lacks_an_attribute_is_read_and_keeps_the_others(name: str) -> None:
    item = {attribute: value for attribute, value in RECIPE.items() if attribute != name}
    again = put_back(item)
    assert {attribute: again[attribute] for attribute in item} == item


def test_what_an_item_lacks_reads_as_nothing() -> None:
    bare = version_items.version_from_item({"model_name": MODEL, "version": Decimal(1)})
    assert (bare.stage, bare.created_at, bare.framework) == (Stage.ARCHIVED, EPOCH, "pytorch")
    assert (bare.metrics, bare.tags, bare.description, bare.artifacts) == ({}, {}, "", ())


@pytest.mark.parametrize("stage", ["shadow", ["production"], {"production": True}, None, Decimal(1)], ids=str)
def test_a_stage_that_nobody_knows_reads_as_archived(stage: Any) -> None:
    assert version_items.version_from_item(RECIPE | {"stage": stage}).stage is Stage.ARCHIVED


def test_odd_metrics_survive_an_edit_of_the_others() -> None:
    before = version_items.version_from_item(RECIPE | {"metrics": {"f1": Decimal("0.5"), "note": "n/a"}})
    edited = {**before.metrics, "f1": Decimal("0.6"), "auc": Decimal("0.7")}
    again = version_items.version_to_item(version(3, metrics=edited, extra=before.extra))
    assert again["metrics"] == {"f1": Decimal("0.6"), "auc": Decimal("0.7"), "note": "n/a"}


def test_an_item_of_the_recipe_survives_the_trash() -> None:
    odd = {"approved_by": "bob", "metrics": {"note": "n/a"}, "deleted_at": "never", "trash": "no"}
    found = version_items.version_from_item(RECIPE | odd)
    trashed = TrashedVersion(version=found, deleted_at=NOW, deleted_by="ci", purge_after=NOW)
    assert version_items.trash_from_item(stored(version_items.trash_to_item(trashed))) == trashed
