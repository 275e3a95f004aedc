"""What the registry keeps beside its models, on every driver: tokens and trust rules, told truthfully."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from modelkeep.domain.access.tokens import Token
from modelkeep.domain.errors import ContentionError, InvalidCursorError, OutcomeUnknownError, UnavailableError
from modelkeep.repositories import conditional_put
from modelkeep.repositories.tokens import Tokens
from modelkeep.repositories.trust import TrustDocuments
from modelkeep.services.access.tokens import TokenService
from modelkeep.storage.table import Table, Write
from tests.support.builders import LATER, NOW, credential, operation, token
from tests.support.faults.storage import LOSSES, Fault, FaultyTable, at_random
from tests.support.registries import caller

ALWAYS_LOST = [Fault.REQUEST_LOST] * conditional_put.ATTEMPTS


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditional_put, "BACKOFF_BASE_SECONDS", 0.001)


@pytest.fixture
def tokens(table: Table) -> Tokens:
    return Tokens(table)


async def all_of(tokens: Tokens, *, limit: int = 100) -> list[Token]:
    """Every listed token, page by page."""
    found: list[Token] = []
    cursor = None
    while True:
        page = await tokens.list(cursor=cursor, limit=limit)
        assert len(page.items) <= limit
        found += page.items
        if (cursor := page.next_cursor) is None:
            return found


async def test_a_token_is_found_by_its_id(tokens: Tokens) -> None:
    kept = token(credential(), last_used_at=NOW)
    await tokens.add(kept)
    assert await tokens.find(kept.id) == kept
    assert await tokens.find(credential().id) is None


async def test_tokens_are_listed_by_id_and_exchanged_ones_are_not(tokens: Tokens) -> None:
    by_hand = [token(credential(), revoked_at=when) for when in (None, NOW, None, None, None)]
    for kept in by_hand:
        await tokens.add(kept)
    await tokens.add(token(credential(), rules=("ci",), grants=()))
    ordered = sorted(by_hand, key=lambda kept: kept.id)
    assert await all_of(tokens) == ordered
    assert await all_of(tokens, limit=2) == ordered


async def test_a_list_goes_on_only_from_a_cursor_of_its_own(tokens: Tokens) -> None:
    with pytest.raises(InvalidCursorError):
        await tokens.list(cursor="nonsense", limit=10)


async def test_an_id_is_given_once(tokens: Tokens) -> None:
    shown = credential()
    await tokens.add(token(shown))
    with pytest.raises(UnavailableError):
        await tokens.add(token(shown, principal="thief"))
    found = await tokens.find(shown.id)
    assert found
    assert found.principal == "ci"


async def test_a_token_is_replaced_only_as_it_was_read(tokens: Tokens) -> None:
    kept = token(credential())
    await tokens.add(kept)
    assert await tokens.replace(replace(kept, revoked_at=NOW))
    assert not await tokens.replace(replace(kept, last_used_at=NOW))
    assert await tokens.find(kept.id) == replace(kept, revoked_at=NOW, revision=2)


async def test_a_token_that_is_gone_is_not_brought_back(tokens: Tokens) -> None:
    kept = token(credential())
    assert not await tokens.replace(kept)
    assert await tokens.find(kept.id) is None


async def test_of_many_writers_of_one_revision_one_wins(tokens: Tokens, table: Table) -> None:
    kept = token(credential())
    await tokens.add(kept)
    writers = [replace(kept, last_used_at=NOW + timedelta(seconds=second)) for second in range(12)]
    won = await asyncio.gather(*(Tokens(table).replace(writer) for writer in writers), return_exceptions=True)
    assert won.count(True) == 1
    assert all(isinstance(outcome, (bool, UnavailableError)) for outcome in won)
    assert await tokens.find(kept.id) == replace(writers[won.index(True)], revision=2)


@pytest.mark.parametrize(
    "faults",
    [
        [Fault.REPLY_LOST],
        [Fault.REPLY_LOST] * 3,
        [Fault.REQUEST_LOST],
        [Fault.CONTENDED] * 3,
        [Fault.REPLY_LOST, Fault.CONTENDED],
        [Fault.REPLY_LOST, Fault.UNAVAILABLE],
        [Fault.REQUEST_LOST, Fault.UNAVAILABLE, Fault.REPLY_LOST],
        [Fault.LATE, Fault.REQUEST_LOST],
    ],
    ids=str,
)
async def test_what_a_lost_reply_hides_is_found_out(table: Table, faults: Sequence[Fault]) -> None:
    first, second = token(credential()), token(credential())
    async with FaultyTable(table, writes=faults) as faulty:
        await Tokens(faulty).add(first)
        faulty.meet(writes=faults)
        assert await Tokens(faulty).replace(replace(first, revoked_at=NOW))
        faulty.meet(writes=faults)
        await TrustDocuments(faulty).replace("{}", revision=0, now=NOW)
        await Tokens(faulty).add(second)
    by_id = sorted([replace(first, revoked_at=NOW, revision=2), second], key=lambda kept: kept.id)
    assert await all_of(Tokens(table)) == by_id
    document = await TrustDocuments(table).find()
    assert document
    assert document.revision == 1


@pytest.mark.parametrize("fault", [Fault.REPLY_LOST, Fault.LATE, Fault.REQUEST_LOST])
async def test_a_refusal_by_what_was_written_before_is_a_success(table: Table, fault: Fault) -> None:
    """A driver that has forgotten the request's own token refuses its second coming."""

    class Forgetful(FaultyTable):
        async def transact(self, writes: Sequence[Write], *, request_token: str) -> None:
            await super().transact(writes, request_token=operation().id)

    kept = token(credential())
    async with Forgetful(table, writes=[fault]) as forgetful:
        await Tokens(forgetful).add(kept)
        forgetful.meet(writes=[fault])
        assert await Tokens(forgetful).replace(replace(kept, revoked_at=NOW))
        forgetful.meet(writes=[fault])
        await TrustDocuments(forgetful).replace("{}", revision=0, now=NOW)
    assert await all_of(Tokens(table)) == [replace(kept, revoked_at=NOW, revision=2)]


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        (ALWAYS_LOST, OutcomeUnknownError),
        ([Fault.REQUEST_LOST, *[Fault.CONTENDED] * conditional_put.ATTEMPTS], OutcomeUnknownError),
        ([Fault.REQUEST_LOST, *[Fault.UNAVAILABLE] * conditional_put.ATTEMPTS], OutcomeUnknownError),
        ([Fault.CONTENDED] * conditional_put.ATTEMPTS, UnavailableError),
        ([Fault.UNAVAILABLE], UnavailableError),
        ([Fault.CONTENDED, Fault.UNAVAILABLE], UnavailableError),
    ],
    ids=str,
)
async def test_nothing_is_said_that_is_not_known(table: Table, faults: Sequence[Fault], error: type[Exception]) -> None:
    kept = token(credential())
    async with FaultyTable(table, writes=faults) as faulty:
        with pytest.raises(error):
            await Tokens(faulty).add(kept)
        faulty.meet(writes=faults)
        with pytest.raises(error):
            await TrustDocuments(faulty).replace("{}", revision=0, now=NOW)
    assert await all_of(Tokens(table)) == []
    assert await TrustDocuments(table).find() is None


async def test_a_revocation_that_was_acknowledged_outlives_every_note_of_use(table: Table) -> None:
    """Some note uses and one revokes, through a network that loses a third of everything."""
    rounds = 30 if type(table).__name__ == "SqliteTable" else 8
    noisy = [FaultyTable(table, writes=at_random(seed, 0.3, LOSSES)) for seed in range(4)]

    async def use(faulty: FaultyTable, token_id: str, second: int) -> None:
        if kept := await Tokens(faulty).find(token_id):
            await Tokens(faulty).replace(replace(kept, last_used_at=NOW + timedelta(seconds=second)))

    for second in range(rounds):
        kept = token(credential(), expires_at=LATER)
        await Tokens(table).add(kept)
        outcome, *_ = await asyncio.gather(
            TokenService(Tokens(noisy[0])).revoke(kept.id, caller()),
            *(use(faulty, kept.id, second) for faulty in noisy[1:]),
            return_exceptions=True,
        )
        found = await Tokens(table).find(kept.id)
        assert found
        assert outcome is None or isinstance(outcome, (ContentionError, UnavailableError, OutcomeUnknownError))
        assert found.revoked_at or outcome is not None
    for faulty in noisy:
        await faulty.__aexit__()
    assert len(await all_of(Tokens(table))) == rounds


async def test_making_a_token_through_losses_makes_one(table: Table) -> None:
    end = datetime.now(UTC) + timedelta(days=1)
    grants = token(credential()).grants
    async with FaultyTable(table, writes=[Fault.REPLY_LOST, Fault.LATE, Fault.CONTENDED]) as faulty:
        made, shown = await TokenService(Tokens(faulty)).create("ci", grants, end, caller())
    assert await all_of(Tokens(table)) == [made]
    assert made.admits(shown)


# trust rules


async def test_the_rules_are_those_that_were_written_last(table: Table) -> None:
    documents = TrustDocuments(table)
    assert await documents.find() is None
    await documents.replace("first", revision=0, now=NOW)
    await documents.replace("second", revision=1, now=LATER)
    document = await documents.find()
    assert document
    assert (document.text, document.revision, document.changed_at) == ("second", 2, LATER)


@pytest.mark.parametrize("revision", [0, 1, 3])
async def test_rules_do_not_replace_others_than_were_read(table: Table, revision: int) -> None:
    documents = TrustDocuments(table)
    await documents.replace("first", revision=0, now=NOW)
    await documents.replace("second", revision=1, now=NOW)
    with pytest.raises(ContentionError):
        await documents.replace("third", revision=revision, now=NOW)
    document = await documents.find()
    assert document
    assert document.text == "second"


async def test_of_many_writers_of_rules_one_wins(table: Table) -> None:
    calls = [TrustDocuments(table).replace(f"rules {number}", revision=0, now=NOW) for number in range(12)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert outcomes.count(None) == 1
    assert all(outcome is None or isinstance(outcome, (ContentionError, UnavailableError)) for outcome in outcomes)
    document = await TrustDocuments(table).find()
    assert document
    assert document.text == f"rules {outcomes.index(None)}"
