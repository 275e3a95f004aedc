"""A file that arrives in blocks survives whatever happens to the process that fetches it."""

import hashlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelkeep.client import partial_file
from modelkeep.client.partial_file import PartialFile

BLOCK = 1000


@pytest.fixture(autouse=True, scope="module")
def _small_blocks() -> Iterator[None]:
    with mock.patch.object(partial_file, "BLOCK", BLOCK):
        yield


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def block_of(whole: bytes, index: int) -> bytes:
    return whole[index * BLOCK : (index + 1) * BLOCK]


@given(
    size=st.one_of(st.integers(0, 30 * BLOCK), st.integers(0, 30).map(lambda count: count * BLOCK)),
    lives=st.lists(st.lists(st.integers(0, 29), max_size=30), max_size=4),
    threads=st.integers(1, 4),
)
@settings(deadline=None)
def test_blocks_in_any_order_over_any_number_of_lives_make_the_file(
    size: int, lives: list[list[int]], threads: int
) -> None:
    whole, there = content(size), set[int]()
    count = -(-size // BLOCK)
    with TemporaryDirectory() as folder:
        for order in [*lives, list(range(count))]:
            partial = PartialFile(Path(folder, "weights.partial"), size)
            assert partial.arrived == sum(len(block_of(whole, index)) for index in there)
            assert {index for run in partial.missing(at_most=BLOCK) for index in [run.start // BLOCK]} == (
                set(range(count)) - there
            )
            chosen = [index for index in dict.fromkeys(order) if index < count]
            with ThreadPoolExecutor(threads) as pool:
                written = list(
                    pool.map(partial.write, [i * BLOCK for i in chosen], [block_of(whole, i) for i in chosen])
                )
            assert written == [0 if index in there else len(block_of(whole, index)) for index in chosen]
            there |= set(chosen)
            assert partial.remaining(range(size)) == range(min(first_gap(there) * BLOCK, size), size)
            if len(there) == count:
                assert partial.sha256() == hashlib.sha256(whole).hexdigest()
            partial.close()
        partial = PartialFile(Path(folder, "weights.partial"), size)
        assert partial.missing(at_most=size) == []
        assert partial.sha256() == hashlib.sha256(whole).hexdigest()
        partial.finish(Path(folder, "weights"))
        assert [entry.name for entry in Path(folder).iterdir()] == ["weights"]
        assert Path(folder, "weights").read_bytes() == whole


def first_gap(there: set[int]) -> int:
    return next(index for index in range(len(there) + 1) if index not in there)


@given(missing=st.sets(st.integers(0, 19)), at_most=st.integers(1, 8))
def test_what_is_missing_comes_in_runs_of_a_bounded_length(missing: set[int], at_most: int) -> None:
    with TemporaryDirectory() as folder:
        partial = PartialFile(Path(folder, "weights.partial"), 20 * BLOCK)
        for index in set(range(20)) - missing:
            partial.write(index * BLOCK, bytes(BLOCK))
        runs = partial.missing(at_most=at_most * BLOCK)
        partial.close()
    assert {position // BLOCK for run in runs for position in run} == missing
    assert sum(map(len, runs)) == len(missing) * BLOCK
    assert all(len(run) <= at_most * BLOCK for run in runs)


def test_a_block_that_is_there_is_not_replaced_behind_the_digest(tmp_path: Path) -> None:
    partial = PartialFile(tmp_path / "weights.partial", BLOCK)
    partial.write(0, b"a" * BLOCK)
    assert partial.write(0, b"b" * BLOCK) == 0
    digest = partial.sha256()
    partial.finish(tmp_path / "weights")
    assert hashlib.sha256((tmp_path / "weights").read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("size", [3 * BLOCK, 7 * BLOCK])
def test_what_belongs_to_a_file_of_another_size_is_discarded(tmp_path: Path, size: int) -> None:
    path = tmp_path / "weights.partial"
    before = PartialFile(path, 5 * BLOCK)
    before.set_etag('"before"')
    for index in range(5):
        before.write(index * BLOCK, bytes(BLOCK))
    before.close()
    after = PartialFile(path, size)
    assert (after.arrived, after.etag, path.stat().st_size) == (0, None, 0)
    after.close()


def test_the_first_etag_is_remembered_until_all_begins_again(tmp_path: Path) -> None:
    for noted in ('"first"', '"second"'):
        partial = PartialFile(tmp_path / "weights.partial", BLOCK)
        partial.set_etag(None)
        partial.set_etag(noted)
        assert partial.etag == '"first"'
        partial.close()
    partial = PartialFile(tmp_path / "weights.partial", BLOCK)
    partial.write(0, bytes(BLOCK))
    partial.reset()
    assert (partial.etag, partial.arrived, partial.missing(at_most=BLOCK)) == (None, 0, [range(BLOCK)])
    partial.write(0, b"b" * BLOCK)
    assert partial.sha256() == hashlib.sha256(b"b" * BLOCK).hexdigest()
    partial.close()


def test_what_is_discarded_is_gone(tmp_path: Path) -> None:
    partial = PartialFile(tmp_path / "weights.partial", BLOCK)
    partial.write(0, bytes(BLOCK))
    partial.discard()
    assert list(tmp_path.iterdir()) == []
