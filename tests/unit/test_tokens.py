"""Registry tokens: their form, what is stored of them, and which grants their creator may delegate."""

import re
import string
import zlib
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkeep.domain.access.actions import ROLES, Action
from modelkeep.domain.access.grants import Grant, decide, delegate
from modelkeep.domain.access.tokens import ApiTokenSecret, Token, check_principal, new_secret, parse_secret
from modelkeep.repositories.tokens import from_item, to_item
from modelkeep.storage import attributes
from tests.support.builders import LATER, credential, token

WORDS = st.sampled_from([*ROLES, *(action.value for action in Action), "stage.set:*", "*"])
PATTERNS = st.text(st.sampled_from("ab-*"), min_size=1, max_size=5)
TIMES = st.datetimes(timezones=st.just(UTC)).filter(lambda time: 1970 < time.year < 9999)
CREDENTIALS = st.binary(min_size=40, max_size=40).map(new_secret)


def grants_of(rule: str) -> st.SearchStrategy[tuple[Grant, ...]]:
    words, models = (st.lists(each, min_size=1, max_size=4).map(tuple) for each in (WORDS, PATTERNS))
    grant = st.builds(Grant, rule=st.just(rule), entries=words, models=models, denies=st.booleans())
    return st.lists(grant, max_size=3).map(tuple)


@st.composite
def tokens(draw: st.DrawFn) -> Token:
    shown = draw(CREDENTIALS)
    return Token(
        id=shown.id,
        digest=shown.digest,
        principal=draw(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10)),
        grants=draw(grants_of(f"token:{shown.id}")),
        rules=draw(st.lists(st.text("ab", min_size=1), max_size=2).map(tuple)),
        created_at=draw(TIMES),
        created_by=draw(st.sampled_from(["operator", "ci"])),
        expires_at=draw(TIMES),
        revoked_at=draw(st.none() | TIMES),
        last_used_at=draw(st.none() | TIMES),
        revision=draw(st.integers(1, 2**32)),
    )


@given(tokens())
def test_a_token_comes_back_as_it_was(kept: Token) -> None:
    assert from_item(attributes.from_text(attributes.to_text(to_item(kept)))) == kept


def test_tokens_that_were_made_by_hand_are_listed_beyond_their_end_and_others_end_with_it() -> None:
    by_hand, exchanged = token(credential()), token(credential(), rules=("ci",), grants=())
    assert to_item(by_hand)["catalog"] == "tokens"
    assert to_item(by_hand)["ttl"] == LATER.timestamp() + 30 * 24 * 3600
    assert "catalog" not in to_item(exchanged)
    assert to_item(exchanged)["ttl"] == LATER.timestamp()


@given(CREDENTIALS)
def test_a_credential_is_read_as_it_is_written(shown: ApiTokenSecret) -> None:
    assert re.fullmatch(r"mr_[0-9A-Za-z]{11}_[0-9A-Za-z]{43}_[0-9a-f]{8}", shown.text)
    assert parse_secret(shown.text) == shown
    assert token(shown).admits(shown)
    assert shown.secret not in repr(to_item(token(shown)))


def test_a_credential_has_all_of_its_randomness() -> None:
    lowest, highest = new_secret(bytes(40)), new_secret(b"\xff" * 40)
    assert lowest.id + lowest.secret == "0" * 54
    digits = string.digits + string.ascii_uppercase + string.ascii_lowercase

    def number(text: str) -> int:
        return sum(digits.index(digit) * 62**place for place, digit in enumerate(reversed(text)))

    assert (number(highest.id), number(highest.secret)) == (2**64 - 1, 2**256 - 1)
    for length in (39, 41):
        with pytest.raises(ValueError, match="40 random bytes"):
            new_secret(bytes(length))


@given(CREDENTIALS, st.data())
def test_a_mistyped_credential_is_none(shown: ApiTokenSecret, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(shown.text) - 1))
    other = data.draw(st.sampled_from([char for char in string.ascii_letters + "0_-é" if char != shown.text[place]]))
    assert parse_secret(shown.text[:place] + other + shown.text[place + 1 :]) is None
    assert parse_secret(shown.text[:place] + shown.text[place + 1 :]) is None


@pytest.mark.parametrize("change", [" {}", "{} ", "{}\n", "x{}", "{}x", "{}_{}"])
def test_a_credential_with_something_around_it_is_none(change: str) -> None:
    text = credential().text
    assert parse_secret(change.format(text, text)) is None


def test_a_secret_belongs_to_one_token() -> None:
    first, second = credential(), credential()
    swapped = ApiTokenSecret(second.id, first.secret)
    assert swapped.digest != first.digest
    assert not token(second).admits(swapped)
    assert not token(first).admits(ApiTokenSecret(first.id, second.secret))
    body = f"mr_{first.id}_{first.secret}"
    assert first.text == f"{body}_{zlib.crc32(body.encode()):08x}"


@pytest.mark.parametrize("name", ["ci", "train job", "a" * 128, "ada@acme.example", "Jürgen", "team/fraud"])
def test_a_principal_has_a_printable_name(name: str) -> None:
    check_principal(name)


@pytest.mark.parametrize("name", ["", "a" * 129, "github:repo:acme/fraud", ":", "a\nb", "a\x00", "\ud800", "a\u202eb"])
def test_a_token_does_not_act_in_the_name_of_an_issuers_identity(name: str) -> None:
    with pytest.raises(ValueError, match="none of them a colon"):
        check_principal(name)


def grant(*words: str, models: tuple[str, ...] = ("*",), denies: bool = False) -> Grant:
    return Grant(rule="rule", entries=words, models=models, denies=denies)


def test_whoever_gives_may_deny_more_and_passes_on_what_is_denied() -> None:
    held = (grant("publisher"), grant("version.edit", models=("gold-*",), denies=True))
    stricter = (grant("publisher"), grant("version.delete", denies=True))
    given = delegate(held, stricter)
    assert given == (*stricter, held[1])
    assert not decide(given, Action.VERSION_EDIT, "gold-1").allowed
    assert decide(given, Action.VERSION_EDIT, "silver-1").allowed


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        (("reader", ["*"]), ("publisher", ["a"])),
        (("reader", ["a-*"]), ("reader", ["*"])),
        (("reader", ["a-*"]), ("reader", ["a*"])),
        (("reader", ["a-*"]), ("reader", ["a-1", "b-1"])),
        (("reader", ["a-*-z"]), ("reader", ["a-*"])),
        (("reader", ["a-*"]), ("reader", ["*a-*"])),
        (("stage.set:staging", ["*"]), ("stage.set:*", ["*"])),
    ],
    ids=str,
)
def test_a_grant_that_the_holder_lacks_is_refused(held: Any, wanted: Any) -> None:
    own, other = (grant(words, models=tuple(models)) for words, models in (held, wanted))
    with pytest.raises(ValueError, match=r"is not yours to give$"):
        delegate([own], [other])
    delegate([own], [own])


@given(grants_of("held"), grants_of("wanted"), st.sampled_from(Action), st.text("ab-", min_size=1, max_size=6))
def test_delegated_grants_allow_nothing_that_the_holder_may_not_do(
    held: tuple[Grant, ...], wanted: tuple[Grant, ...], action: Action, model: str
) -> None:
    try:
        given = delegate(held, wanted)
    except ValueError:
        return
    assert decide(held, action, model).allowed >= decide(given, action, model).allowed
