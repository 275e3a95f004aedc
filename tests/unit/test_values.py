"""The grammar of what callers may write."""

import base64
import math
import operator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkeep.domain.artifact_paths import check_new_artifact_path
from modelkeep.domain.values import (
    MAX_VERSION,
    Digest,
    Ref,
    RefKind,
    check_alias,
    check_metric,
    check_model_name,
    is_reserved_alias,
    metric_to_decimal,
    parse_ref,
)

LONG = "a" * 10_000
EVERYWHERE_BAD = [
    "",
    " ",
    "a\n",
    "\na",
    "a\0",
    "\0",
    "a\tb",
    "a\x1fb",
    "a\x7f",
    "a\u2028",
    "é",
    "\u0430dmin",
    "a\ud800",
    LONG,
]
"""No name of any kind; one of them begins with a Cyrillic letter."""

HEX = "0123456789abcdef0123456789abcdef01234567"
"""Spelled like a commit."""


@pytest.mark.parametrize(
    "name", ["a", "7", "fraud-detector", "Fraud_Detector.v2", "a.b-c_d", "A" * 96, "git", "x.gitx", "v7", "latest"]
)
def test_a_model_name(name: str) -> None:
    assert check_model_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *EVERYWHERE_BAD,
        *["-a", "a-", ".a", "a.", "_a", "a_", "a..b", "a--b", "..", ".", "repo.git", "a/b", "a\\b", "a b", "$head#a"],
        *["a#b", "a%2fb", "a:b", "a@b", "A" * 97],
    ],
)
def test_no_model_name(name: str) -> None:
    with pytest.raises(ValueError, match="a model name"):
        check_model_name(name)


@pytest.mark.parametrize(
    "alias",
    ["a", "champion", "eu-prod", "a.b_c-d", "v", "v1x", "va1", "head", "a" * 64, HEX[10:], "Champion", "EU-Prod", "A"],
)
def test_an_alias(alias: str) -> None:
    assert check_alias(alias) == alias
    assert not is_reserved_alias(alias)


@pytest.mark.parametrize("alias", [*EVERYWHERE_BAD, "ä", "Ä", "1a", "-a", ".a", "_a", "a/b", "a b", "a@b", "a" * 65])
def test_no_alias(alias: str) -> None:
    with pytest.raises(ValueError, match="an alias"):
        check_alias(alias)


@pytest.mark.parametrize(
    "alias",
    [
        *["latest", "main", "production", "staging", "archived", "none", "v0", "v7", "v00", "v99999999999"],
        *["Latest", "MAIN", "Production", "stagING", "Archived", "None", "V7", "a" + HEX[1:], "A" + HEX[1:].upper()],
    ],
)
def test_an_alias_that_would_shadow_another_ref_is_reserved(alias: str) -> None:
    assert check_alias(alias) == alias
    assert is_reserved_alias(alias)


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("1", Ref(RefKind.NUMBER, "1", 1)),
        ("v3", Ref(RefKind.NUMBER, "v3", 3)),
        (str(MAX_VERSION), Ref(RefKind.NUMBER, str(MAX_VERSION), MAX_VERSION)),
        ("latest", Ref(RefKind.LATEST, "latest")),
        ("production", Ref(RefKind.PRODUCTION, "production")),
        ("staging", Ref(RefKind.STAGING, "staging")),
        ("champion", Ref(RefKind.ALIAS, "champion")),
        ("Champion", Ref(RefKind.ALIAS, "Champion")),
        ("HEAD", Ref(RefKind.ALIAS, "HEAD")),
        ("number", Ref(RefKind.ALIAS, "number")),
        ("commit", Ref(RefKind.ALIAS, "commit")),
        ("alias", Ref(RefKind.ALIAS, "alias")),
        ("f" * 32 + "0000002a", Ref(RefKind.COMMIT, "f" * 32 + "0000002a", 42)),
        ("1" * 40, Ref(RefKind.COMMIT, "1" * 40, 0x11111111)),
    ],
)
def test_a_ref(text: str, ref: Ref) -> None:
    assert parse_ref(text) == ref


@pytest.mark.parametrize(
    "text",
    [
        *EVERYWHERE_BAD,
        *["0", "v0", "01", "v01", "-1", "+1", "1.0", "1e3", "1_0", "\u0661", "4294967296", "99999999999", "V3"],
        *["main", "none", "Production", "LATEST", "F" * 40, "g" * 40 + "g" * 40, "3\n", "v3 ", "../1"],
    ],
)
def test_no_ref(text: str) -> None:
    with pytest.raises(ValueError, match="a ref is"):
        parse_ref(text)


def test_archived_is_no_ref_for_several_may_be() -> None:
    with pytest.raises(ValueError, match=r"\?stage=archived"):
        parse_ref("archived")


@given(st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"]), min_size=1, max_size=1))
def test_no_name_holds_what_cannot_be_seen(character: str) -> None:
    for check in (check_model_name, check_alias, check_new_artifact_path, parse_ref):
        with pytest.raises(ValueError, match="a"):
            check(f"a{character}a")


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, 0.1, -0.967, 1e-130, -1e-130, 9.99e125, 1e16, 123456789.123456789])
def test_a_metric(value: float) -> None:
    assert check_metric(value) == value


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, 1e-131, 5e-324, -5e-324, 1e126, -1e126, 1.7976931348623157e308]
)
def test_no_metric(value: float) -> None:
    with pytest.raises(ValueError, match="a metric is finite"):
        check_metric(value)


class Scalar:
    """A number of a library: it converts itself, and says what it holds, as numpy's and torch's do."""

    def __init__(self, value: float, dtype: str = "float32", shape: tuple[int, ...] = ()) -> None:
        self.value, self.dtype, self.shape = value, dtype, shape

    def __float__(self) -> float:
        return float(self.value)

    def __index__(self) -> int:
        return operator.index(self.value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value", [0.5, Decimal("0.5"), Fraction(1, 2), Scalar(0.5), Scalar(0.5, "torch.float32"), Scalar(0.5, "bfloat16")]
)
def test_whatever_converts_to_a_float_is_a_metric(value: object) -> None:
    assert check_metric(value) == 0.5
    assert type(check_metric(value)) is float


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "a truth value"),
        ("0.5", "text"),
        (b"0.5", "bytes"),
        (None, "null"),
        ([0.5], "a list"),
        ({"mean": 0.5}, "an object"),
        (1j, "complex"),
        (object(), "object"),
        *((Scalar(1, dtype), "Scalar") for dtype in ("bool", "torch.bool", "complex64", "timedelta64[s]")),
        (Scalar(1, shape=(1,)), "Scalar"),
    ],
)
def test_what_is_no_number_is_no_metric(value: object, kind: str) -> None:
    with pytest.raises(ValueError, match=f"a metric is a number, not {kind}$"):
        check_metric(value)


@pytest.mark.parametrize("value", [2**53, -(2**53), 2**60, 10**22, Scalar(2**62, "int64"), Decimal(2**60)])
def test_an_integer_that_a_float_holds_is_a_metric(value: Any) -> None:
    assert int(check_metric(value)) == int(getattr(value, "value", value))


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 10**23, Scalar(2**53 + 1, "int64"), Decimal(2**53 + 1)])
def test_an_integer_that_a_float_would_round_is_no_metric(value: object) -> None:
    with pytest.raises(ValueError, match=r"beyond 2\*\*53"):
        check_metric(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_metric_reads_back_as_it_was_written(value: float) -> None:
    assert float(metric_to_decimal(value)) == value


def test_a_metric_stays_as_short_as_it_was_written() -> None:
    assert metric_to_decimal(0.1) == Decimal("0.1")


@given(st.binary(min_size=32, max_size=32))
def test_a_digest_and_its_form_for_s3(raw: bytes) -> None:
    digest = Digest(raw.hex())
    assert base64.b64decode(digest.as_s3_checksum()) == raw
    assert Digest.from_s3_checksum(digest.as_s3_checksum()) == digest
    assert str(digest) == raw.hex()


@pytest.mark.parametrize(
    "text", [*EVERYWHERE_BAD, "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n", "0x" + "a" * 62]
)
def test_no_digest(text: str) -> None:
    with pytest.raises(ValueError, match="64 lower-case hex digits"):
        Digest(text)


@pytest.mark.parametrize(
    "checksum",
    ["", "a", "====", "not base64!", base64.b64encode(b"short").decode(), base64.b64encode(b"x" * 33).decode(), "é"],
)
def test_no_checksum_of_s3(checksum: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Digest.from_s3_checksum(checksum)
