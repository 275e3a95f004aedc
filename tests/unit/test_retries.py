"""When a client tries again, and after how long."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from modelkeep.client import presigned_transport, registry_transport, retries


def _asked_for(value: str) -> float | None:
    return retries.retry_after(httpx.Response(503, headers={"retry-after": value}))


@pytest.mark.parametrize(("value", "seconds"), [("0", 0), ("2", 2), ("120", 120)])
def test_retry_after_is_read_as_seconds(value: str, seconds: float) -> None:
    assert _asked_for(value) == seconds


def test_retry_after_is_read_as_a_date() -> None:
    at = datetime.now(UTC) + timedelta(seconds=30)
    seconds = _asked_for(format_datetime(at, usegmt=True))
    assert seconds is not None
    assert 28 <= seconds <= 30


def test_a_date_in_the_past_asks_for_no_waiting() -> None:
    assert _asked_for("Wed, 21 Oct 2015 07:28:00 GMT") == 0


@pytest.mark.parametrize(
    "value", ["", "soon", "-5", "1.5", "\u00b2", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "NaN", "inf"]
)
def test_a_retry_after_that_nobody_can_read_is_none(value: str) -> None:
    response = httpx.Response(503, headers=[(b"retry-after", value.encode("latin-1"))])
    assert retries.retry_after(response) is None


def test_an_answer_without_retry_after_asks_for_nothing() -> None:
    assert retries.retry_after(httpx.Response(503)) is None


@pytest.mark.parametrize(
    ("attempt", "longest"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0), (60, 8.0)]
)
def test_pauses_grow_to_eight_seconds_and_are_spread_from_zero(attempt: int, longest: float) -> None:
    pauses = [retries.retry_delay(attempt) for _ in range(2000)]
    assert all(0 <= retry_delay <= longest for retry_delay in pauses)
    assert min(pauses) < 0.05 * longest
    assert max(pauses) > 0.95 * longest


def test_what_was_asked_for_is_waited_at_least_and_spread_on_top() -> None:
    pauses = [retries.retry_delay(1, 7.0) for _ in range(200)]
    assert all(7 <= retry_delay <= 7.5 for retry_delay in pauses)
    assert len(set(pauses)) > 1


@pytest.mark.parametrize("asked", [61.0, 3600.0, 1e300, float("inf")])
def test_a_client_waits_no_longer_than_a_minute_and_its_own_delay(asked: float) -> None:
    assert 60 <= retries.retry_delay(1, asked) <= 60.5


def test_the_statuses_after_which_storage_is_asked_again() -> None:
    assert {408, 429, 500, 502, 503, 504} == retries.TRANSIENT_STATUSES


def test_the_statuses_after_which_the_registry_is_asked_again() -> None:
    assert {429, 502, 503, 504} == registry_transport.RETRYABLE


def test_a_stalled_connection_to_storage_is_given_up_after_thirty_seconds() -> None:
    store = presigned_transport.PresignedTransport(connections=1)
    store.close()
    assert (store._http.timeout.read, store._http.timeout.write) == (30, 30)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectTimeout(""), "connecting took too long"),
        (httpx.ReadTimeout(""), "no bytes came or went for too long"),
        (httpx.WriteTimeout(""), "no bytes came or went for too long"),
        (httpx.ReadError(""), "ReadError"),
        (httpx.ConnectError("All connection attempts failed."), "All connection attempts failed"),
    ],
)
def test_a_failure_is_told_in_words_that_fit_into_a_sentence(error: httpx.HTTPError, words: str) -> None:
    assert retries.reason_of(error) == words
