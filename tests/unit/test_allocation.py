"""Which number a registration gets where the keys of some numbers are taken, and how often the store is asked."""

from pathlib import Path

import pytest

from modelkeep.domain.artifacts import object_key
from modelkeep.domain.uploads import Declared, Registration
from modelkeep.domain.values import Digest
from modelkeep.services.uploading.allocation import ObjectAllocation
from modelkeep.storage.instrumentation import OperationTiming, instrument_store
from modelkeep.storage.local.files import FileStore

REGISTRATION = Registration(artifacts=[Declared(path="model.pt", size=1, sha256=Digest("0" * 64))])


@pytest.mark.parametrize(
    ("taken", "following", "number", "most"),
    [
        (range(0), 1, 1, 1),
        (range(1, 8), 8, 8, 1),
        (range(8, 9), 8, 9, 2),
        (range(8, 13), 8, 13, 6),
        (range(8, 1008), 8, 1008, 21),
        ([5, 6, 9], 5, 7, 4),
    ],
)
async def test_a_number_with_free_keys_is_found_in_few_requests(
    tmp_path: Path, taken: range | list[int], following: int, number: int, most: int
) -> None:
    asked: list[OperationTiming] = []
    for each in taken:
        path = tmp_path / "objects" / object_key("m", each, "weights/model.pt")
        path.parent.mkdir(parents=True)
        path.touch()
    store = instrument_store(await FileStore.open(tmp_path, public_url="http://unused"), asked.append)
    allocation = ObjectAllocation(store, "m", REGISTRATION, threshold=1)
    found, artifacts = await allocation.from_number(following, [])
    assert (found, [artifact.key for artifact in artifacts]) == (number, [object_key("m", number, "model.pt")])
    assert len(asked) <= most
    asked.clear()
    assert await allocation.from_number(following, []) == (found, artifacts)
    assert asked == []
