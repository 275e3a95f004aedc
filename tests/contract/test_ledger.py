"""What the ledger promises of every write, on every driver: told done is done, told failed is not, nothing is half."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain, repeat

import pytest

from modelkeep.domain import changes
from modelkeep.domain.changes import Decision, Edit, StageRequest
from modelkeep.domain.errors import (
    AliasNotFoundError,
    ContentionError,
    IdempotencyKeyReusedError,
    MetadataTooLargeError,
    OutcomeUnknownError,
    UnavailableError,
)
from modelkeep.domain.events import IDEMPOTENCY_LIFE_SECONDS, Event, EventType, Operation
from modelkeep.domain.models import Head
from modelkeep.domain.uploads import Upload
from modelkeep.domain.values import Stage
from modelkeep.repositories import ledger as ledgers
from modelkeep.repositories import optimistic_transaction as commits
from modelkeep.repositories.events import Events
from modelkeep.repositories.items import event_to_item, upload_to_item
from modelkeep.repositories.keys import head_key
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.optimistic_transaction import MAX_ATTEMPTS
from modelkeep.repositories.version_items import version_to_item
from modelkeep.repositories.versions import Versions
from modelkeep.storage.table import Absent, Item, ItemKey, Put, Table, Write
from tests.support.builders import LATER, MODEL, NOW, operation, upload, version
from tests.support.faults.storage import Fault, FaultyTable

REPLAYED = -1
ALIVE_SECONDS = IDEMPOTENCY_LIFE_SECONDS

Meanwhile = Callable[[], Awaitable[object]]


@dataclass
class Client:
    """One of many services on a table: it has a ledger of its own, and so no lock in common with others."""

    table: Table

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.table)
        self.asked: list[Head | None] = []

    async def begin(self, operation: Operation, meanwhile: Meanwhile | None = None) -> int:
        """Reserve a number, in the midst of which something else may happen; answer the number, or -1 for a replay."""

        async def decide(head: Head | None) -> Decision[Upload]:
            self.asked.append(head)
            if meanwhile:
                await meanwhile()
            return changes.begin(head, upload(changes.next_version(head)), operation)

        async def replay(number: int | None) -> Upload:
            assert number is not None
            return upload(REPLAYED)

        return (await self.ledger.apply(MODEL, operation, decide, on_duplicate=replay)).number

    async def describe(self, text: str, operation: Operation, meanwhile: Meanwhile | None = None) -> str:
        """Set the description; answer the model's, or "replayed"."""

        async def decide(head: Head | None) -> Decision[Head]:
            self.asked.append(head)
            if meanwhile:
                await meanwhile()
            assert head is not None
            return changes.edit_model(head, Edit(description=text), operation)

        async def replay(_: int | None) -> Head:
            return replace(await self.head(), description="replayed")

        return (await self.ledger.apply(MODEL, operation, decide, on_duplicate=replay)).description

    async def unalias(self, alias: str, operation: Operation, meanwhile: Meanwhile | None = None) -> None:
        async def decide(head: Head | None) -> Decision[None]:
            self.asked.append(head)
            assert head is not None
            if meanwhile:
                await meanwhile()
            return changes.remove_alias(head, alias, operation)

        async def replay(_: int | None) -> None:
            return None

        await self.ledger.apply(MODEL, operation, decide, on_duplicate=replay)

    async def alias(self, alias: str, operation: Operation) -> None:
        async def decide(head: Head | None) -> Decision[object]:
            assert head is not None
            return changes.set_alias(head, version(1), alias, operation)

        async def replay(_: int | None) -> None:
            return None

        await self.ledger.apply(MODEL, operation, decide, on_duplicate=replay)

    async def head(self) -> Head:
        head = await self.ledger.head(MODEL)
        assert head is not None
        return head


async def history(table: Table) -> list[Event]:
    """The whole history; it is gapless, and the head is at its end."""
    events = list((await Events(table).list(MODEL, after=0, cursor=None, limit=100)).items)
    head = await Ledger(table).head(MODEL)
    assert [event.generation for event in events] == list(range(1, (head.generation if head else 0) + 1))
    return events


async def uploads(table: Table) -> list[int]:
    """The numbers that are reserved, each with its item."""
    return sorted([found.number async for found in Versions(table).walk_uploads(MODEL)])


async def write_as_another_program(table: Table, *versions: tuple[int, Stage]) -> None:
    items = [version_to_item(version(number, stage)) for number, stage in versions]
    await table.transact([Put(item, Absent()) for item in items], request_token=operation().id)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "BACKOFF_CAP_SECONDS", 0.02)


@pytest.fixture
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "DEADLINE_SECONDS", 0.4)


@pytest.fixture
def client(table: Table) -> Client:
    return Client(table)


@pytest.fixture
async def begun(client: Client) -> Client:
    """A model at generation 1."""
    await client.begin(operation())
    client.asked.clear()
    return client


class TestWriting:
    async def test_head_subject_and_event_are_there_together(self, table: Table, client: Client) -> None:
        asked = operation()
        assert await client.begin(asked) == 1
        (event,) = await history(table)
        assert (event.operation_id, event.type, event.version) == (asked.id, EventType.UPLOAD_BEGUN, 1)
        assert await uploads(table) == [1]
        kept = await table.get(head_key(MODEL))
        assert kept is not None
        assert (kept["operation_id"], kept["generation"], kept["next_version"]) == (asked.id, 1, 2)

    async def test_each_change_rests_on_the_one_before(self, table: Table, client: Client) -> None:
        assert [await client.begin(operation()) for _ in range(3)] == [1, 2, 3]
        assert [head.generation if head else 0 for head in client.asked] == [0, 1, 2]
        assert len(await history(table)) == 3

    async def test_a_refusal_by_the_rules_writes_nothing(self, table: Table, begun: Client) -> None:
        with pytest.raises(AliasNotFoundError):
            await begun.unalias("champion", operation(key="key"))
        assert len(begun.asked) == 1
        assert len(await history(table)) == 1
        with pytest.raises(AliasNotFoundError):
            await begun.unalias("champion", operation(key="key", body="other"))

    async def test_what_is_too_large_is_refused_before_anything_is_written(self, table: Table, begun: Client) -> None:
        with pytest.raises(MetadataTooLargeError):
            await begun.describe("x" * 360_000, operation(key="key"))
        assert len(await history(table)) == 1

    async def test_a_change_that_changes_nothing_writes_nothing(self, table: Table, begun: Client) -> None:
        faulty = FaultyTable(table)
        assert await Client(faulty).describe("", operation()) == ""
        assert faulty.sent == []

    async def test_a_change_of_many_events_is_one_step(self, table: Table, client: Client) -> None:
        for _ in range(3):
            await client.begin(operation())
        faulty = FaultyTable(table, writes=[Fault.REPLY_LOST])
        asked = operation()

        async def decide(head: Head | None) -> Decision[tuple[tuple[Upload, ...], bool]]:
            assert head is not None
            taken, more = await Versions(table).take_uploads(MODEL, 10)
            return changes.delete_model(head, [], taken, asked, purge_after=LATER, more=more)

        async def replay(_: int | None) -> tuple[tuple[Upload, ...], bool]:
            raise AssertionError

        dropped, more = await Ledger(faulty).apply(MODEL, asked, decide, on_duplicate=replay)
        assert ([found.number for found in dropped], more) == ([3, 2, 1], False)
        assert [event.operation_id == asked.id for event in await history(table)] == [False] * 3 + [True] * 4
        assert await uploads(table) == []


class TestRepeating:
    async def test_a_key_makes_a_repeat_take_effect_once(self, table: Table, client: Client) -> None:
        assert await client.begin(operation(key="key")) == 1
        assert await client.begin(operation(key="key")) == REPLAYED
        assert await Client(table).begin(operation(key="key")) == REPLAYED
        assert len(await history(table)) == 1

    async def test_another_key_is_another_request(self, client: Client) -> None:
        assert [await client.begin(operation(key=key)) for key in ("a", "b")] == [1, 2]

    async def test_a_key_with_another_request_is_refused(self, table: Table, client: Client) -> None:
        await client.begin(operation(key="key"))
        with pytest.raises(IdempotencyKeyReusedError):
            await client.begin(operation(key="key", body="other"))
        assert len(await history(table)) == 1

    async def test_a_key_settles_repeats_for_a_day_and_no_longer(self, table: Table, client: Client) -> None:
        await client.begin(operation(key="key"))
        last = NOW + timedelta(seconds=ALIVE_SECONDS - 1)
        assert await client.begin(operation(key="key", at=last)) == REPLAYED
        over = NOW + timedelta(seconds=ALIVE_SECONDS)
        assert await client.begin(operation(key="key", body="other", at=over)) == 2
        assert await client.begin(operation(key="key", body="other", at=over)) == REPLAYED

    async def test_a_key_is_remembered_although_nothing_was_to_be_done(self, table: Table, begun: Client) -> None:
        assert await begun.describe("", operation(key="key")) == ""
        assert await begun.describe("other", operation()) == "other"
        assert await begun.describe("", operation(key="key")) == "replayed"
        assert (await begun.head()).description == "other"
        assert len(await history(table)) == 2

    async def test_a_failure_is_not_remembered(self, table: Table, begun: Client) -> None:
        with pytest.raises(AliasNotFoundError):
            await begun.unalias("champion", operation(key="key"))
        await begun.alias("champion", operation())
        await begun.unalias("champion", operation(key="key"))
        assert (await begun.head()).aliases == {}

    async def test_one_key_at_many_services_at_once_takes_effect_once(self, table: Table) -> None:
        clients = [Client(table) for _ in range(6)]
        answers = await asyncio.gather(*(client.begin(operation(key="key")) for client in clients))
        assert sorted(answers) == [REPLAYED] * 5 + [1]
        assert len(await history(table)) == 1

    async def test_a_key_that_another_request_takes_in_the_meantime_is_refused(
        self, table: Table, begun: Client
    ) -> None:
        """The other one has nothing to do: it leaves the head as it is, and only the key itself can tell."""

        async def take() -> None:
            await Client(table).describe("", operation(key="key", body="nothing to do"))

        with pytest.raises(IdempotencyKeyReusedError):
            await begun.describe("mine", operation(key="key"), take)
        assert (await begun.head()).description == ""

    async def test_a_repeat_beside_the_first_is_told_the_same_and_never_a_refusal(
        self, table: Table, begun: Client
    ) -> None:
        """The first lands after the repeat has looked for the key, and before it looks at the rest."""
        await begun.alias("champion", operation())

        async def first() -> None:
            if (await begun.head()).aliases:
                await Client(table).unalias("champion", operation(key="key"))
                raise AliasNotFoundError(MODEL, "champion")

        await begun.unalias("champion", operation(key="key"), first)
        assert len(await history(table)) == 3


class TestBesideOthers:
    async def test_services_without_a_common_lock_lose_no_change(self, table: Table) -> None:
        clients = [Client(table) for _ in range(3)]
        numbers = await asyncio.gather(*(client.begin(operation()) for client in clients for _ in range(6)))
        assert sorted(numbers) == list(range(1, 19))
        assert await uploads(table) == list(range(1, 19))
        assert len(await history(table)) == 18

    async def test_writers_of_one_service_take_writers(self, table: Table) -> None:
        faulty = FaultyTable(table)
        client = Client(faulty)
        await asyncio.gather(*(client.begin(operation()) for _ in range(12)))
        assert len(faulty.sent) == len(client.asked) == 12

    async def test_models_do_not_wait_for_each_other(self, table: Table) -> None:
        faulty = FaultyTable(table, writes=[Fault.HANGING])
        ledger = Ledger(faulty)

        async def begin(model: str) -> int:
            asked = operation()

            async def decide(head: Head | None) -> Decision[Upload]:
                return changes.begin(head, upload(1, model=model), asked)

            async def replay(_: int | None) -> Upload:
                raise AssertionError

            return (await ledger.apply(model, asked, decide, on_duplicate=replay)).number

        stuck = asyncio.create_task(begin("stuck"))
        await asyncio.sleep(0.05)
        assert await asyncio.wait_for(begin("free"), 3) == 1
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)

    async def test_a_change_on_a_head_that_moved_is_decided_again(self, table: Table, begun: Client) -> None:
        moved = False

        async def move_once() -> None:
            nonlocal moved
            if not moved:
                moved = True
                await Client(table).begin(operation())

        assert await begun.begin(operation(), move_once) == 3
        assert [head.generation for head in begun.asked if head] == [1, 2]

    async def test_an_edit_of_a_head_that_moved_is_decided_again(self, table: Table, begun: Client) -> None:
        """Where the change adds nothing, so that head and event alone are in its way."""

        async def move_once() -> None:
            if len(begun.asked) == 1:
                await Client(table).describe("theirs", operation())

        assert await begun.describe("mine", operation(), move_once) == "mine"
        assert len(await history(table)) == 3

    async def test_a_refusal_on_a_head_that_moved_is_decided_again(self, table: Table, begun: Client) -> None:
        """What was refused may rest on two moments: the head of one, a version of the next."""
        asked = operation()

        async def decide(head: Head | None) -> Decision[Head]:
            assert head is not None
            if head.generation == 1:
                await Client(table).describe("moved", operation())
                raise AliasNotFoundError(MODEL, "torn")
            return changes.edit_model(head, Edit(description="mine"), asked)

        async def replay(_: int | None) -> Head:
            raise AssertionError

        assert (await begun.ledger.apply(MODEL, asked, decide, on_duplicate=replay)).description == "mine"

    @pytest.mark.parametrize("key", [None, "key"])
    async def test_nothing_to_do_on_a_head_that_moved_is_decided_again(
        self, table: Table, begun: Client, key: str | None
    ) -> None:
        async def move_once() -> None:
            if len(begun.asked) == 1:
                await Client(table).describe("moved", operation())

        assert await begun.describe("", operation(key=key), move_once) == ""
        assert [head.description for head in begun.asked if head] == ["", "moved"]

    async def test_a_writer_whom_others_overtake_goes_on(self, table: Table, begun: Client) -> None:
        """More often than it would try on a head that stands still."""

        async def move() -> None:
            if len(begun.asked) <= 2 * MAX_ATTEMPTS:
                await Client(table).begin(operation())

        assert await begun.begin(operation(), move) == 2 + 2 * MAX_ATTEMPTS

    async def test_a_head_that_never_stands_still_is_contention(
        self, table: Table, begun: Client, short_deadline: None
    ) -> None:
        async def move() -> None:
            await Client(table).begin(operation())

        asked = operation()
        with pytest.raises(ContentionError):
            await begun.begin(asked, move)
        events = await history(table)
        assert all(event.operation_id != asked.id for event in events)
        assert len(events) >= len(begun.asked)


class TestWhatIsThere:
    """Nothing but the head tells a decision what is there; if it is wrong, nothing is overwritten."""

    async def test_an_event_is_never_written_over(self, table: Table, begun: Client) -> None:
        (event,) = await history(table)
        restored = event_to_item(replace(event, generation=2))
        await table.transact([Put(restored, Absent())], request_token=operation().id)
        with pytest.raises(ContentionError):
            await begun.begin(operation())
        assert (await begun.head()).generation == 1
        assert await Events(table).find(MODEL, 2) == replace(event, generation=2)

    async def test_what_is_added_is_never_written_over(self, table: Table, begun: Client) -> None:
        stranger = upload(2, created_by="another program")
        await table.transact([Put(upload_to_item(stranger), Absent())], request_token=operation().id)
        with pytest.raises(ContentionError):
            await begun.begin(operation())
        assert await Versions(table).find_upload(MODEL, 2) == stranger
        assert len(await history(table)) == 1

    async def test_what_is_gone_is_never_written_back(self, table: Table, begun: Client) -> None:
        asked = operation()

        async def decide(head: Head | None) -> Decision[object]:
            assert head is not None
            request = StageRequest(stage=Stage.PRODUCTION)
            return changes.move(head, version(1), None, request, asked)

        async def replay(_: int | None) -> object:
            raise AssertionError

        with pytest.raises(ContentionError):
            await begun.ledger.apply(MODEL, asked, decide, on_duplicate=replay)
        assert await Versions(table).find(MODEL, 1) is None
        assert (await begun.head()).production_version is None


class TestABadNetwork:
    @pytest.mark.parametrize("fault", [Fault.REQUEST_LOST, Fault.REPLY_LOST, Fault.LATE])
    @pytest.mark.parametrize("key", [None, "key"])
    async def test_a_lost_message_is_found_out(self, table: Table, fault: Fault, key: str | None) -> None:
        async with FaultyTable(table, writes=[fault, fault]) as faulty:
            client = Client(faulty)
            assert await client.begin(operation(key=key)) == 1
        assert len(await history(table)) == 1
        assert len(client.asked) == 1

    @pytest.mark.parametrize("fault", [Fault.REQUEST_LOST, Fault.REPLY_LOST, Fault.LATE])
    async def test_a_lost_message_of_a_remembered_nothing_is_found_out(
        self, table: Table, begun: Client, fault: Fault
    ) -> None:
        async with FaultyTable(table, writes=[fault, fault]) as faulty:
            assert await Client(faulty).describe("", operation(key="key")) == ""
        assert await begun.describe("", operation(key="key")) == "replayed"
        assert len(await history(table)) == 1

    async def test_what_is_sent_again_is_the_same_under_the_same_token(self, table: Table) -> None:
        faulty = FaultyTable(table, writes=[Fault.REQUEST_LOST] * 3)
        await Client(faulty).begin(operation(key="key"))
        assert len(faulty.sent) == 4
        assert all(sent == faulty.sent[0] for sent in faulty.sent)

    async def test_what_is_decided_again_has_a_token_of_its_own(self, table: Table) -> None:
        faulty = FaultyTable(table, writes=[Fault.CONTENDED] * 3)
        await Client(faulty).begin(operation())
        assert len({token for _, token in faulty.sent}) == 4

    async def test_a_lost_reply_is_found_out_although_others_have_gone_on(self, table: Table, begun: Client) -> None:
        faulty = FaultyTable(table, writes=[Fault.REPLY_LOST], reads=[Fault.NONE] * 2 + [Fault.UNAVAILABLE] * 4)
        late = asyncio.create_task(Client(faulty).begin(operation()))
        while await uploads(table) != [1, 2]:  # noqa: ASYNC110 -- what it waits for has no event
            await asyncio.sleep(0.001)
        others = [await begun.begin(operation()) for _ in range(3)]
        assert (await late, others) == (2, [3, 4, 5])
        assert await uploads(table) == [1, 2, 3, 4, 5]
        assert len(await history(table)) == 5

    async def test_a_lost_request_that_others_overtook_is_decided_again(self, table: Table, begun: Client) -> None:
        faulty = FaultyTable(table, writes=[Fault.REQUEST_LOST], reads=chain([Fault.NONE], repeat(Fault.UNAVAILABLE)))
        late = asyncio.create_task(Client(faulty).begin(operation()))
        while not faulty.sent:  # noqa: ASYNC110 -- what it waits for has no event
            await asyncio.sleep(0.001)
        assert await begun.begin(operation()) == 2
        faulty.meet()
        assert await late == 3
        assert len(faulty.sent) == 2
        assert await uploads(table) == [1, 2, 3]
        assert len(await history(table)) == 3

    async def test_a_late_arrival_is_found_out_even_by_the_last_attempt(self, table: Table) -> None:
        """The last copy is refused, because the one before has arrived, and the table has forgotten its token."""

        class Forgetful(FaultyTable):
            async def transact(self, writes: Sequence[Write], *, request_token: str) -> None:
                if len(self.sent) == MAX_ATTEMPTS:
                    await table.transact(writes, request_token=operation().id)
                await super().transact(writes, request_token=request_token)

        forgetful = Forgetful(table, writes=[Fault.CONTENDED] * (MAX_ATTEMPTS - 1) + [Fault.REQUEST_LOST])
        assert await Client(forgetful).begin(operation()) == 1
        assert len(forgetful.sent) == MAX_ATTEMPTS + 1
        assert len(await history(table)) == 1

    async def test_what_nobody_expected_leaves_open_only_what_was_sent(self, table: Table) -> None:
        class Broken(FaultyTable):
            """A driver with a fault: it fails before the effect, or after it."""

            def __init__(self, *, after: bool) -> None:
                super().__init__(table)
                self.after = after

            async def transact(self, writes: Sequence[Write], *, request_token: str) -> None:
                if self.after:
                    await super().transact(writes, request_token=request_token)
                raise KeyError(request_token)

            async def get(self, key: ItemKey) -> Item | None:
                if not self.after:
                    raise KeyError(key)
                return await super().get(key)

        begin = operation(key="run")
        with pytest.raises(KeyError):
            await Client(Broken(after=False)).begin(begin)
        assert await history(table) == []
        with pytest.raises(OutcomeUnknownError):
            await Client(Broken(after=True)).begin(begin)
        assert await Client(table).begin(operation(key="run")) == REPLAYED
        assert len(await history(table)) == 1

    async def test_a_table_that_is_away_at_once_did_nothing(self, table: Table, begun: Client) -> None:
        away = [Fault.UNAVAILABLE]
        for faulty in (FaultyTable(table, writes=away), FaultyTable(table, reads=away)):
            with pytest.raises(UnavailableError):
                await Client(faulty).begin(operation())
        assert len(await history(table)) == 1

    async def test_others_in_the_way_are_waited_for(self, table: Table) -> None:
        assert await Client(FaultyTable(table, writes=[Fault.CONTENDED] * (MAX_ATTEMPTS - 1))).begin(operation()) == 1

    async def test_others_always_in_the_way_are_contention(self, table: Table, begun: Client) -> None:
        faulty = FaultyTable(table, writes=repeat(Fault.CONTENDED))
        with pytest.raises(ContentionError):
            await Client(faulty).begin(operation())
        assert len(faulty.sent) == MAX_ATTEMPTS
        assert len(await history(table)) == 1

    async def test_a_read_that_hangs_is_given_up_and_nothing_happened(
        self, table: Table, begun: Client, short_deadline: None
    ) -> None:
        with pytest.raises(UnavailableError):
            await Client(FaultyTable(table, reads=repeat(Fault.HANGING))).begin(operation())
        assert len(await history(table)) == 1

    async def test_a_change_that_was_decided_on_too_late_is_not_sent(
        self, table: Table, begun: Client, short_deadline: None
    ) -> None:
        faulty = FaultyTable(table, reads=[Fault.SLOW], slow=0.3)
        with pytest.raises(UnavailableError, match="Nothing was changed"):
            await Client(faulty).begin(operation())
        assert faulty.sent == []
        assert len(await history(table)) == 1

    @pytest.mark.parametrize(
        ("first", "then", "reads", "happened"),
        [
            (Fault.REPLY_LOST, Fault.NONE, Fault.UNAVAILABLE, True),
            (Fault.REPLY_LOST, Fault.NONE, Fault.HANGING, True),
            (Fault.LATE, Fault.NONE, Fault.UNAVAILABLE, True),
            (Fault.REQUEST_LOST, Fault.REQUEST_LOST, Fault.NONE, False),
            (Fault.REQUEST_LOST, Fault.CONTENDED, Fault.NONE, False),
            (Fault.REQUEST_LOST, Fault.UNAVAILABLE, Fault.NONE, False),
            (Fault.REQUEST_LOST, Fault.HANGING, Fault.NONE, False),
            (Fault.HANGING, Fault.NONE, Fault.NONE, False),
        ],
        ids=lambda value: value.name.lower() if isinstance(value, Fault) else None,
    )
    async def test_what_cannot_be_learnt_in_time_is_unknown_and_the_key_settles_it(
        self, table: Table, begun: Client, short_deadline: None, first: Fault, then: Fault, reads: Fault, happened: bool
    ) -> None:
        faulty = FaultyTable(table)
        client = Client(faulty)

        async def break_down() -> None:
            faulty.meet(writes=[first, *[then] * 1000], reads=repeat(reads))

        async with faulty:
            with pytest.raises(OutcomeUnknownError):
                await client.begin(operation(key="key"), break_down)
        assert len(await history(table)) == (2 if happened else 1)
        assert await begun.begin(operation(key="key")) == (REPLAYED if happened else 2)
        assert await uploads(table) == [1, 2]
        assert len(await history(table)) == 2


class TestTakingTurns:
    async def test_a_cancelled_writer_leaves_nothing_half_and_its_turn_free(self, table: Table) -> None:
        client = Client(table)
        tasks = []
        for delay in range(24):
            tasks.append(asyncio.create_task(client.begin(operation())))
            await asyncio.sleep(delay / 4000)
            tasks[-1 - delay % 3].cancel()
        told = [number for number in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(number, int)]
        await asyncio.wait_for(client.begin(operation()), 5)
        assert client.ledger._writers._locks == {}
        assert len(set(told)) == len(told)
        reserved = await uploads(table)
        assert set(told) <= set(reserved)
        assert reserved == list(range(1, len(reserved) + 1))
        assert len(await history(table)) == len(reserved)

    async def test_a_writer_that_waits_may_be_cancelled(self, table: Table) -> None:
        faulty = FaultyTable(table, writes=[Fault.HANGING])
        client = Client(faulty)
        tasks = [asyncio.create_task(client.begin(operation())) for _ in range(4)]
        await asyncio.sleep(0.1)
        for task in (tasks[2], tasks[0]):
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [answer for answer in answers if isinstance(answer, int)] == [1, 2]
        assert client.ledger._writers._locks == {}

    async def test_a_writer_does_not_wait_for_its_turn_for_ever(
        self, table: Table, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ledgers, "WRITER_LOCK_TIMEOUT_SECONDS", 0.1)
        client = Client(FaultyTable(table, writes=[Fault.HANGING]))
        stuck = asyncio.create_task(client.begin(operation()))
        await asyncio.sleep(0.05)
        waiting = await asyncio.gather(*(client.begin(operation()) for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in waiting] == [ContentionError] * 3
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)
        assert await client.begin(operation()) == 1
        assert client.ledger._writers._locks == {}


class TestTakingOver:
    async def test_a_model_of_another_program_gets_its_head_at_first_touch(self, table: Table, client: Client) -> None:
        await write_as_another_program(table, (1, Stage.ARCHIVED), (2, Stage.PRODUCTION), (5, Stage.STAGING))
        head = await client.head()
        assert (head.production_version, head.latest_version, head.next_version) == (2, 5, 6)
        (event,) = await history(table)
        assert event.type is EventType.MODEL_ADOPTED
        assert await client.begin(operation()) == 6

    async def test_a_model_that_never_was_has_none(self, table: Table, client: Client) -> None:
        assert await client.ledger.head(MODEL) is None
        assert not (await table.scan(limit=10)).items

    async def test_many_services_take_it_over_once(self, table: Table) -> None:
        claims = [(number, Stage.PRODUCTION) for number in range(1, 6)]
        await write_as_another_program(table, *claims)
        clients = [Client(table) for _ in range(6)]
        await asyncio.gather(
            *(client.head() for client in clients[:3]), *(client.begin(operation()) for client in clients[3:])
        )
        events = await history(table)
        assert [event.type for event in events] == [EventType.MODEL_ADOPTED] + [EventType.UPLOAD_BEGUN] * 3
        assert await uploads(table) == [6, 7, 8]
        assert [found.number async for found in Versions(table).walk(MODEL) if found.stage is Stage.PRODUCTION] == [5]

    @pytest.mark.parametrize("fault", [Fault.REQUEST_LOST, Fault.REPLY_LOST, Fault.LATE])
    async def test_it_is_taken_over_once_through_a_bad_network(self, table: Table, fault: Fault) -> None:
        await write_as_another_program(table, (1, Stage.PRODUCTION))
        async with FaultyTable(table, writes=[fault, fault]) as faulty:
            assert (await Client(faulty).head()).production_version == 1
        assert len(await history(table)) == 1

    async def test_its_failure_is_not_the_failure_of_a_change_that_is_under_way(self, table: Table) -> None:
        """A change is sent and lost; then versions turn up whose takeover meets others in the way."""
        faulty = FaultyTable(table, writes=[Fault.REQUEST_LOST, *[Fault.CONTENDED] * MAX_ATTEMPTS])

        async def interfere() -> None:
            if not faulty.sent:
                await write_as_another_program(table, (1, Stage.STAGING))

        assert await Client(faulty).begin(operation(), interfere) == 2
        assert [event.type for event in await history(table)] == [EventType.MODEL_ADOPTED, EventType.UPLOAD_BEGUN]
