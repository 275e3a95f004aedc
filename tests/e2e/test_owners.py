"""Two tables on one bucket: one owns it, the other is refused, whatever happens meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import httpx
import pytest
from structlog.testing import CapturingLogger

from modelkeep.admin.serving import _preflight
from modelkeep.bootstrap import open_storage, ownership_of
from modelkeep.domain.errors import BucketOwnedError, BucketUnmarkedError
from modelkeep.domain.ownership import OWNER_KEY
from modelkeep.repositories.keys import owner_key
from modelkeep.services import health, ownership
from modelkeep.settings import Settings
from modelkeep.storage.aws import dynamodb, dynamodb_setup
from modelkeep.storage.aws.session import new_session
from tests.support.api import Api, check_problem, serving
from tests.support.backends import aws_environment, environment, prepare, prepare_now
from tests.support.buckets import bucket_of
from tests.support.programs import Said, operating
from tests.support.servers import AwsServer
from tests.support.upkeep import Storage, looking_into

LONG_AFTER = timedelta(days=30)
OTHER_COMMANDS = [("sweep",), ("sweep", "--dry-run"), ("check",), ("init",), ("serve",)]


@pytest.fixture
def variables(ministack: AwsServer) -> dict[str, str]:
    return aws_environment(ministack)


@pytest.fixture
def settings(variables: dict[str, str]) -> Iterator[Settings]:
    with environment(variables) as settings:
        prepare_now(settings)
        yield settings


@pytest.fixture
async def owner(settings: Settings) -> AsyncIterator[Storage]:
    """The registry that owns the bucket."""
    async with looking_into(settings) as storage:
        yield storage


@pytest.fixture
async def neighbour(settings: Settings) -> AsyncIterator[Storage]:
    """A table on the same bucket, made without a look at the bucket, as by an earlier release."""
    name = f"neighbour-{uuid4().hex[:12]}"
    async with dynamodb.open_client(new_session(), name) as client:
        assert [step async for step in dynamodb_setup.set_up_table(client, name)]
    async with looking_into(settings.model_copy(update={"table": name})) as storage:
        yield storage


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    """What a service logs of the bond."""
    logger = CapturingLogger()
    monkeypatch.setattr(ownership, "_log", logger)
    return logger


def variables_of(variables: dict[str, str], storage: Storage) -> dict[str, str]:
    return variables | {"MODELKEEP_TABLE": storage.settings.table}


def refusal(said: Said) -> str:
    assert said.status == 1, said
    return said.err[-1]


async def is_owner(storage: Storage) -> bool:
    try:
        await ownership_of(storage.table, storage.store, storage.settings).require()
    except (BucketOwnedError, BucketUnmarkedError):
        return False
    return True


async def readiness(api: Api) -> httpx.Response:
    """What `/readyz` answers once storage does not take long."""
    for _ in range(10):
        answer = await api.http.get("/readyz")
        if answer.status_code == 200 or answer.json()["code"] != "unavailable":
            break
    return answer


async def forget(storage: Storage) -> None:
    """Leave the bucket as an earlier release has set it up."""
    await storage.store.delete(OWNER_KEY)
    await storage.remove(owner_key())


@asynccontextmanager
async def apis(*storages: Storage) -> AsyncIterator[list[Api]]:
    async with serving(storages[0].settings) as first, serving(storages[1].settings) as second:
        yield [first, second]


async def test_a_sweep_takes_nothing_of_a_neighbour(
    owner: Storage, neighbour: Storage, variables: dict[str, str]
) -> None:
    async with apis(owner, neighbour) as (here, there):
        await there.begin("m", {"model.pt": b"never sent"})
        await there.ask("DELETE", "/m/versions/1/upload", status=204)
        await here.register("m", {"model.pt": b"production"})
        await here.promote("m", 1)
        with suppress(BucketOwnedError):
            await neighbour.sweep(after=LONG_AFTER)
        assert await here.fetch("m") == {"model.pt": b"production"}
        assert await owner.sweep(after=LONG_AFTER) == []


async def test_every_command_refuses_the_bucket_of_another_table_and_changes_nothing(
    owner: Storage, neighbour: Storage, variables: dict[str, str], tmp_path: Path
) -> None:
    bucket, table = owner.settings.bucket, neighbour.settings.table
    sentence = (
        f"s3://{bucket} belongs to '{owner.settings.table}', not to '{table}'; nothing was changed. Set"
        " MODELKEEP_BUCKET to the bucket of this table; or stop all that uses the other table, and run"
        " `modelkeep init --take-over`."
    )
    there = variables_of(variables, neighbour)
    items, keys = await neighbour.items(), [each async for each in owner.store.list_versions("")]
    moved = ("migrate", "--from", f"local:{tmp_path}", "--to", "aws")
    async with open_storage(Settings(backend="local", data_dir=tmp_path)):
        pass
    with mock.patch("uvicorn.run") as run:
        for command in (*OTHER_COMMANDS, moved):
            said = await operating(there | {"MODELKEEP_INSECURE": "1"}, *command)
            assert (refusal(said), said.out) == (sentence, []), command
    assert not run.called
    said = await operating(there, "-o", "json", "sweep")
    problem = json.loads(refusal(said))
    assert (problem["code"], problem["owner"], problem["table"]) == ("bucket_owned", owner.settings.table, table)
    assert await neighbour.items() == items
    assert [each async for each in owner.store.list_versions("")] == keys


async def test_a_table_that_is_made_anew_is_not_made_beside_a_bucket_of_another(
    owner: Storage, variables: dict[str, str]
) -> None:
    absent = variables | {"MODELKEEP_TABLE": f"absent-{uuid4().hex[:12]}"}
    assert "belongs to" in refusal(await operating(absent, "init"))
    assert "does not exist" in refusal(await operating(absent, "token", "list", "--direct"))


async def test_a_bucket_is_handed_over_and_back(owner: Storage, neighbour: Storage, variables: dict[str, str]) -> None:
    for new, former in ((neighbour, owner), (owner, neighbour)):
        said = await operating(variables_of(variables, new), "init", "--take-over")
        assert said.status == 0, said
        assert said.out[-1] == f"Bucket '{owner.settings.bucket}' is now marked as this table's."
        assert await new.check() == []
        assert (await operating(variables_of(variables, new), "sweep")).status == 0
        assert "belongs to" in refusal(await operating(variables_of(variables, former), "sweep"))


async def test_a_copy_of_the_table_is_another_table(
    owner: Storage, neighbour: Storage, variables: dict[str, str]
) -> None:
    """As point-in-time recovery makes one, under another name; or under the same name elsewhere, with the same id."""
    for item in (await owner.items()).values():
        await neighbour.put(item)
    there = variables_of(variables, neighbour)
    assert f"not to '{neighbour.settings.table}'" in refusal(await operating(there, "sweep"))
    assert (await operating(there, "init", "--take-over")).status == 0
    assert (await operating(there, "sweep")).status == 0
    assert not await is_owner(owner)
    assert (await operating(variables, "init", "--take-over")).status == 0
    await owner.edit(owner_key(), owner="the id that was copied")
    assert "that this one is a copy of" in refusal(await operating(variables, "sweep"))


async def test_a_table_may_be_copied_out_beside_the_bucket_of_another(
    owner: Storage, neighbour: Storage, variables: dict[str, str], tmp_path: Path
) -> None:
    async with serving(owner.settings) as api:
        await api.register("m", {"model.pt": b"bytes"})
    for item in (await owner.items()).values():
        await neighbour.put(item)
    there = variables_of(variables, neighbour)
    said = await operating(there, "migrate", "--from", "aws", "--to", f"local:{tmp_path}/out")
    assert said.status == 0, said
    assert said.out[0].startswith("m: 1 version, 1 object copied")


async def test_an_installation_of_an_earlier_release_serves_on_and_is_swept_once_it_is_marked(
    owner: Storage, variables: dict[str, str], told: CapturingLogger
) -> None:
    await forget(owner)
    await _preflight(owner.settings, "127.0.0.1")
    assert [(call.method_name, *call.args) for call in told.calls] == [("warning", "bucket_unmarked")]
    async with serving(owner.settings) as api:
        assert (await readiness(api)).status_code == 200
        await api.register("m")
    sentence = refusal(await operating(variables, "sweep"))
    assert sentence.endswith("another table may use it too; nothing was changed. Run `modelkeep init` once.")
    checked = await operating(variables, "check")
    assert (checked.status, checked.out[-1]) == (1, "1 fault(s)")
    assert checked.out[0].endswith("so another table may use it too; run `modelkeep init` once")
    assert (await operating(variables, "init")).out[-1].endswith("is now marked as this table's.")
    assert (await operating(variables, "init")).out[-1].endswith("is already marked as this table's.")
    assert (await operating(variables, "sweep")).out == ["0 thing(s) swept"]
    assert (await operating(variables, "check")).out == ["clean"]


async def test_a_bucket_that_does_not_answer_stops_no_service_from_starting(
    owner: Storage, neighbour: Storage, told: CapturingLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "CHECK_TIMEOUT_SECONDS", 0.2)

    async def never(_: object) -> None:
        await asyncio.Event().wait()

    with monkeypatch.context() as hanging:
        hanging.setattr(ownership.Ownership, "_mark", never)
        await _preflight(neighbour.settings, "127.0.0.1")
    assert [(call.method_name, *call.args) for call in told.calls] == [("warning", "bucket_owner_unknown")]
    async with serving(neighbour.settings) as api:
        problem = check_problem(await readiness(api), 503, "bucket_owned")
        assert problem["owner"] == owner.settings.table


async def test_a_service_that_runs_stops_being_ready_when_its_bucket_is_handed_on(
    owner: Storage, neighbour: Storage, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "OWNER_CHECK_SECONDS", 0.0)
    async with serving(owner.settings) as api:
        assert (await readiness(api)).status_code == 200
        assert (await operating(variables_of(variables, neighbour), "init", "--take-over")).status == 0
        problem = check_problem(await readiness(api), 503, "bucket_owned")
        assert problem["owner"] == neighbour.settings.table


async def test_what_marks_a_bucket_never_expires_and_is_no_orphan(owner: Storage) -> None:
    await owner.edit(owner_key(), ttl=1)
    assert await owner.check() == ["$owner 0 carries an expiry and would vanish; remove its attribute `ttl`"]
    assert await owner.sweep(after=timedelta(days=3650)) == []
    assert await is_owner(owner)


async def test_something_else_under_the_key_of_the_mark_is_another_s(owner: Storage) -> None:
    async with bucket_of(owner.settings) as bucket:
        await bucket.overwrite(OWNER_KEY, b"[]")
    with pytest.raises(BucketOwnedError, match="belongs to 'unknown'"):
        await owner.sweep(after=LONG_AFTER)


@pytest.mark.parametrize("reached", [False, True], ids=["before", "after"])
async def test_a_hand_over_that_is_cut_short_makes_no_second_owner_and_is_completed_by_another(
    owner: Storage, neighbour: Storage, reached: bool
) -> None:
    """The id of the table, the old mark, the new mark: killed before or after each has reached its storage."""
    for write, (new, former) in enumerate([(neighbour, owner), (owner, neighbour)] * 2, start=1):
        takes_over = ownership_of(new.table, new.store, new.settings)
        with dying_at(write, new, reached=reached) as writes, suppress(KilledError):
            await takes_over.claim(take_over=True)
        assert [await is_owner(new), await is_owner(former)].count(True) <= 1
        assert await is_owner(former) is (write < 2 or (write == 2 and not reached))
        assert writes[:3] == ["transact", "delete", "put"][:write]
        assert await takes_over.claim(take_over=True)
        assert [await is_owner(new), await is_owner(former)] == [True, False]


class KilledError(BaseException):
    """The process ended here."""


@contextmanager
def dying_at(write: int, storage: Storage, *, reached: bool) -> Iterator[list[str]]:
    """End the process at the n-th write to table and bucket; yields the names of those that came."""
    met: list[str] = []

    def counted(name: str, call: Any) -> Any:
        async def dying(*arguments: Any, **options: Any) -> Any:
            met.append(name)
            if len(met) == write and not reached:
                raise KilledError
            answer = await call(*arguments, **options)
            if len(met) == write:
                raise KilledError
            return answer

        return dying

    with ExitStack() as stack:
        for place, name in ((storage.table, "transact"), (storage.store, "delete"), (storage.store, "put")):
            stack.enter_context(mock.patch.object(place, name, counted(name, getattr(place, name))))
        yield met


async def test_of_two_that_are_set_up_at_once_one_owns_the_bucket(owner: Storage, neighbour: Storage) -> None:
    await forget(owner)
    done = await asyncio.gather(*(prepare(each.settings) for each in (owner, neighbour)), return_exceptions=True)
    refused = [error for error in done if isinstance(error, BaseException)]
    assert [type(error) for error in refused] == [BucketOwnedError]
    assert [await is_owner(owner), await is_owner(neighbour)].count(True) == 1


async def test_of_two_that_take_a_bucket_over_at_once_one_owns_it(owner: Storage, neighbour: Storage) -> None:
    for _ in range(10):
        bonds = [ownership_of(each.table, each.store, each.settings) for each in (owner, neighbour)]
        await asyncio.gather(*(bond.claim(take_over=True) for bond in bonds))
        assert [await is_owner(owner), await is_owner(neighbour)].count(True) == 1
