"""Who may do what: actions, roles, grants, and tokens as text."""

import re
import time
import zlib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modelkeep.domain.access.actions import ROLES, Action, parse_actions, stage_set
from modelkeep.domain.access.grants import Grant, Verdict, decide, delegate
from modelkeep.domain.access.principals import Principal, unrestricted
from modelkeep.domain.access.tokens import ApiTokenSecret, from_hub_spelling, hub_spelling, new_secret, parse_secret
from modelkeep.domain.values import Stage

WORDS = ["reader", "publisher", "promoter", "admin", "*", "stage.set:*", *Action]
PATTERNS = st.text("ab*-", min_size=1, max_size=4)
NAMES = st.text("ab-", min_size=1, max_size=6)
SHORT_NAMES = ["".join(letters) for length in (1, 2, 3, 4) for letters in product("ab", repeat=length)]


def grant(*words: str, models: Iterable[str] = ("*",), denies: bool = False, rule: str = "rule") -> Grant:
    return Grant(rule=rule, entries=words, models=tuple(models), denies=denies)


GRANTS = st.builds(
    lambda words, models, denies: grant(*words, models=models, denies=denies),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
    st.lists(PATTERNS, min_size=1, max_size=2),
    st.booleans(),
)


# -- actions and roles


@pytest.mark.parametrize(
    ("word", "actions"),
    [
        ("reader", "model.read event.read"),
        ("publisher", "model.read event.read version.upload version.edit stage.set:staging"),
        ("promoter", "model.read event.read stage.set:staging stage.set:production stage.set:archived alias.set"),
        ("stage.set:*", "stage.set:staging stage.set:production stage.set:archived"),
        ("version.upload", "version.upload"),
    ],
)
def test_an_entry_stands_for_actions(word: str, actions: str) -> None:
    assert parse_actions([word]) == set(actions.split())


@pytest.mark.parametrize("word", ["admin", "*"])
def test_everything_is_every_action(word: str) -> None:
    assert parse_actions([word]) == set(Action)


def test_several_words_stand_for_what_each_of_them_does() -> None:
    assert parse_actions(["publisher", "promoter"]) == ROLES["publisher"] | ROLES["promoter"]
    assert parse_actions([]) == set()


@pytest.mark.parametrize("word", ["", "Reader", "model.*", "stage.set", "stage.set:none", "reader ", "model.read\n"])
def test_any_other_word_is_refused_by_its_name(word: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"'{word}' is neither an action nor a role")):
        parse_actions(["reader", word])


@pytest.mark.parametrize("stage", Stage)
def test_each_stage_has_an_action(stage: Stage) -> None:
    assert stage_set(stage) == f"stage.set:{stage}"


# -- patterns


@pytest.mark.parametrize(
    ("pattern", "covered", "not_covered"),
    [
        ("fraud", ["fraud"], ["Fraud", "fraud-eu", "a-fraud", "frau", "fraud\n"]),
        ("fraud-*", ["fraud-eu", "fraud-"], ["fraud", "a-fraud-eu", "Fraud-eu"]),
        ("*-eu", ["fraud-eu", "-eu"], ["eu", "fraud-eu2", "fraud-EU"]),
        ("f*d*-eu", ["fraud-eu", "fd-eu"], ["f-eu", "fraud", "raud-eu"]),
        ("*", ["a", "*", ""], []),
        ("**", ["a", "ab"], []),
        ("a.b", ["a.b"], ["axb"]),
        ("a-b", ["a-b"], ["a", "b", "ab"]),
    ],
)
def test_a_pattern_covers_names(pattern: str, covered: Sequence[str], not_covered: Sequence[str]) -> None:
    of_pattern = grant("reader", models=[pattern])
    assert [name for name in covered if not of_pattern.covers(Action.MODEL_READ, name)] == []
    assert [name for name in not_covered if of_pattern.covers(Action.MODEL_READ, name)] == []


@pytest.mark.parametrize("pattern", ["", "a b", "a/b", "[ab]", "a?", "fraud\n", "é", "a" * 97, "{a,b}"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="is not a model pattern"):
        grant("reader", models=["*", pattern])


def test_a_grant_names_something_and_some_model() -> None:
    for words, models in [((), ("*",)), (("reader",), ())]:
        with pytest.raises(ValueError, match="at least one action and one model pattern"):
            Grant(rule="rule", entries=words, models=models)


@pytest.mark.parametrize("pattern", ["*a" * 47 + "*b", "*" * 95 + "b", "*a*" * 32])
def test_no_pattern_takes_long(pattern: str) -> None:
    of_pattern = grant("reader", models=[pattern])
    began = time.process_time()
    of_pattern.covers(Action.MODEL_READ, "a" * 96)
    of_pattern.covers(Action.MODEL_READ, "a" * 95 + "c")
    assert time.process_time() - began < 0.5


# -- the decision


def test_what_nothing_allows_is_forbidden() -> None:
    assert decide([], Action.MODEL_READ, "fraud") == Verdict(allowed=False, rule=None)
    assert decide([grant("reader", models=["other"])], Action.MODEL_READ, "fraud") == (False, None)
    assert decide([grant("reader")], Action.MODEL_WRITE, "fraud") == (False, None)


def test_the_first_rule_that_allows_is_named() -> None:
    grants = [grant("event.read", rule="one"), grant("reader", rule="two"), grant("admin", rule="three")]
    assert decide(grants, Action.MODEL_READ, "fraud") == (True, "two")


@pytest.mark.parametrize("deny_first", [True, False])
def test_a_denial_wins_in_any_order(deny_first: bool) -> None:
    grants = [grant("admin", rule="all"), grant("stage.set:production", models=["fraud*"], denies=True, rule="no")]
    grants = grants[::-1] if deny_first else grants
    assert decide(grants, Action.STAGE_SET_PRODUCTION, "fraud") == (False, "no")
    assert decide(grants, Action.STAGE_SET_PRODUCTION, "ranking") == (True, "all")
    assert decide(grants, Action.STAGE_SET_STAGING, "fraud") == (True, "all")


@given(st.lists(GRANTS, max_size=4), st.sampled_from(Action), NAMES)
def test_an_action_is_allowed_if_a_grant_allows_and_none_denies_it(
    grants: list[Grant], action: Action, model: str
) -> None:
    speaking = [
        each.denies
        for each in grants
        if action in parse_actions(each.entries) and any(fnmatchcase(model, pattern) for pattern in each.models)
    ]
    assert decide(grants, action, model).allowed is (bool(speaking) and not any(speaking))


def test_an_operator_may_do_everything() -> None:
    operator = unrestricted("operator", rule="operator")
    assert [operator.may(action, "fraud") for action in Action] == [(True, "operator")] * len(Action)
    assert operator.may(Action.TOKEN_ADMIN) == (True, "operator")


@pytest.mark.parametrize("models", [["fraud"], ["fraud-*"], ["*-eu"], ["a*", "b*"]])
def test_an_administrator_of_some_models_administers_no_tokens(models: Sequence[str]) -> None:
    principal = Principal(name="ci", grants=[grant("admin", models=models)])
    assert principal.may(Action.TOKEN_ADMIN) == (False, None)


# -- what is passed on


@st.composite
def narrowed(draw: st.DrawFn, held: Sequence[Grant]) -> Grant:
    """Something within one of the grants, or something else altogether."""
    if draw(st.integers(0, 5)) == 0:
        return draw(GRANTS)
    own = draw(st.sampled_from(held))
    words = draw(st.lists(st.sampled_from(sorted(own.actions)), min_size=1, max_size=2))
    patterns = [pattern.replace("*", draw(st.text("ab*", max_size=2))) or "a" for pattern in own.models]
    return grant(*words, models=patterns, denies=draw(st.integers(0, 5)) == 0)


@given(st.data())
def test_delegated_grants_allow_no_more_than_the_holder_s(data: st.DataObject) -> None:
    held = data.draw(st.lists(GRANTS, min_size=1, max_size=4))
    wanted = data.draw(st.lists(narrowed(held), min_size=1, max_size=3))
    try:
        delegated = delegate(held, wanted)
    except ValueError:
        return
    for action, model in product(Action, SHORT_NAMES):
        if decide(delegated, action, model).allowed:
            assert decide(held, action, model).allowed, (action, model)


def test_a_pattern_that_covers_another_covers_all_its_names() -> None:
    patterns = [
        grant("reader", models=["".join(letters)]) for length in (1, 2, 3) for letters in product("ab*", repeat=length)
    ]
    names = {each.models: {name for name in SHORT_NAMES if each.covers(Action.MODEL_READ, name)} for each in patterns}
    for wide, narrow in product(patterns, patterns):
        if wide.covers(Action.MODEL_READ, narrow.models[0]):
            assert names[narrow.models] <= names[wide.models], (wide.models, narrow.models)


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        (["*"], ["fraud-*", "*"]),
        (["fraud-*"], ["fraud-eu", "fraud-*", "fraud-*-eu", "fraud-**"]),
        (["fraud-*", "*-eu"], ["fraud-1", "ranking-eu"]),
    ],
)
def test_own_grants_can_be_delegated(held: Sequence[str], wanted: Sequence[str]) -> None:
    want = grant("reader", models=wanted, rule="new")
    assert delegate([grant("publisher", models=held)], [want]) == (want,)


@pytest.mark.parametrize(
    ("word", "pattern", "lacking"),
    [
        ("model.read", "fraud*", "model.read on 'fraud*'"),
        ("model.read", "*", "model.read on '*'"),
        ("promoter", "fraud-eu", "alias.set on 'fraud-eu'"),
    ],
)
def test_what_is_not_held_is_named(word: str, pattern: str, lacking: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{lacking} is not yours to give")):
        delegate([grant("publisher", models=["fraud-*"])], [grant(word, models=[pattern])])


def test_a_denial_is_no_right_to_give_and_goes_along_with_what_is_given() -> None:
    denial = grant("model.read", models=["fraud-secret"], denies=True)
    with pytest.raises(ValueError, match=r"model\.read on 'fraud-secret'"):
        delegate([denial], [grant("model.read", models=["fraud-secret"])])
    delegated = delegate([grant("reader"), denial], [grant("reader", models=["fraud-*"])])
    assert decide(delegated, Action.MODEL_READ, "fraud-secret").allowed is False
    assert decide(delegated, Action.MODEL_READ, "fraud-open").allowed is True


# -- tokens as text


@given(st.binary(min_size=40, max_size=40))
def test_a_token_is_read_as_it_was_made(randomness: bytes) -> None:
    made = new_secret(randomness)
    assert parse_secret(made.text) == made
    assert re.fullmatch(r"mr_[0-9A-Za-z]{11}_[0-9A-Za-z]{43}_[0-9a-f]{8}", made.text)
    body, _, checksum = made.text.rpartition("_")
    assert int(checksum, 16) == zlib.crc32(body.encode())


@given(st.binary(min_size=40, max_size=40), st.binary(min_size=40, max_size=40))
def test_other_randomness_makes_another_token(one: bytes, other: bytes) -> None:
    assert (new_secret(one) == new_secret(other)) is (one == other)
    assert (new_secret(one).secret == new_secret(other).secret) is (one[8:] == other[8:])


@pytest.mark.parametrize("length", [0, 39, 41])
def test_a_token_takes_all_its_randomness(length: int) -> None:
    with pytest.raises(ValueError, match="40 random bytes"):
        new_secret(b"r" * length)


TOKEN = new_secret(bytes(range(40)))


@given(st.integers(0, len(TOKEN.text) - 1), st.characters(codec="latin-1"))
def test_a_mistyped_token_is_none(place: int, character: str) -> None:
    assume(TOKEN.text[place] != character)
    assert parse_secret(TOKEN.text[:place] + character + TOKEN.text[place + 1 :]) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        TOKEN.text[:-1],
        TOKEN.text + "0",
        TOKEN.text + "\n",
        " " + TOKEN.text,
        TOKEN.text.upper(),
        TOKEN.text.rpartition("_")[0],
        "hf_" + TOKEN.text[3:],
    ],
)
def test_what_is_no_token(text: str) -> None:
    assert parse_secret(text) is None


@given(st.binary(min_size=40, max_size=40))
def test_a_token_is_read_in_the_spellings_of_the_hub(randomness: bytes) -> None:
    text = new_secret(randomness).text
    assert re.fullmatch(r"hf_[0-9a-z]{34,253}", hub_spelling(text)), "what llama.cpp takes for a token"
    for spelled in (hub_spelling(text), f"hf_{text}", text):
        assert from_hub_spelling(spelled) == text


@pytest.mark.parametrize(
    "text", ["", "hf_", "hf_abcdef", "hf_6d725", "hf_6d725fx", "6d725f00", hub_spelling(TOKEN.text)[1:], "a.b.c"]
)
def test_any_other_text_is_no_spelling(text: str) -> None:
    assert from_hub_spelling(text) == text


def test_the_digest_proves_the_secret_and_is_bound_to_the_id() -> None:
    others = [ApiTokenSecret(TOKEN.id, "0" * 43), ApiTokenSecret("0" * 11, TOKEN.secret)]
    assert TOKEN.digest == ApiTokenSecret(TOKEN.id, TOKEN.secret).digest
    assert re.fullmatch("[0-9a-f]{64}", TOKEN.digest)
    assert TOKEN.secret not in TOKEN.digest
    assert all(other.digest != TOKEN.digest for other in others)
