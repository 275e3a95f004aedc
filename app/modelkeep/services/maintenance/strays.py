"""Finds objects below `models/` that nothing in the table names, and that no sweep removes."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from modelkeep.domain.artifacts import KEY_PREFIX, numbered_key, version_prefix
from modelkeep.domain.models import Version
from modelkeep.domain.uploads import Upload
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.versions import Versions
from modelkeep.services.maintenance.findings import Finding, StrayObjects, UnissuedObjects
from modelkeep.storage.objects import ObjectStore

_OF_INIT: Final = f"{KEY_PREFIX}$probe/"
"""Where `init` tries out what the bucket does."""


async def list_sizes(store: ObjectStore) -> Mapping[str, int]:
    """The size of every object below `models/`, by key. Raises `UnavailableError`."""
    return {found.key: found.size async for found in store.list_objects(KEY_PREFIX)}


class StrayFinder:
    """Compares listed objects with every reference to one, and changes nothing.

    `sizes` is listed before the references are read, so that an object which is referenced when it is listed is found
    to be. `models` are those that have items.
    """

    def __init__(self, heads: Heads, versions: Versions, sizes: Mapping[str, int], models: AbstractSet[str]) -> None:
        self._heads = heads
        self._versions = versions
        self._sizes = sizes
        self._models = models

    async def find(self) -> AsyncGenerator[Finding, None]:
        """Numbers with objects that were not given out, then objects of others. Raises `UnavailableError`."""
        named, in_use = await self._references()
        async for finding in self._unissued_objects(named):
            yield finding
        for stray in self._stray_objects(named, in_use):
            yield stray

    async def _unissued_objects(self, named: AbstractSet[str]) -> AsyncGenerator[Finding, None]:
        numbers: defaultdict[str, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
        for key in self._sizes.keys() - named:
            if found := numbered_key(key):
                numbers[found[0]][found[1]] += 1
        for model in sorted(numbers):
            head = await self._heads.find(model)
            following = head.next_version if head else 1
            if head or model not in self._models:
                for number in sorted(number for number in numbers[model] if number >= following):
                    yield UnissuedObjects(model, number, following, numbers[model][number])

    def _stray_objects(self, named: AbstractSet[str], in_use: AbstractSet[str]) -> Iterator[Finding]:
        """How much is where, a finding for each folder.

        Below a number that is not in use, `sweep` removes what nothing names; that is no stray.
        """
        strays: defaultdict[str, list[int]] = defaultdict(list)
        for key in self._sizes.keys() - named:
            folder = _folder_of(key)
            if not key.startswith(_OF_INIT) and (folder in in_use or not numbered_key(key)):
                strays[folder].append(self._sizes[key])
        for folder, sizes in sorted(strays.items()):
            yield StrayObjects(folder, len(sizes), sum(sizes))

    async def _references(self) -> tuple[set[str], set[str]]:
        """The keys that items name, and the folders of their numbers."""
        keys: set[str] = set()
        folders: set[str] = set()
        for model in sorted(self._models):
            items: list[Version | Upload] = [version async for version in self._versions.walk(model)]
            items += [trashed.version async for trashed in self._versions.walk_trash(model)]
            items += [upload async for upload in self._versions.walk_uploads(model)]
            folders.update(version_prefix(model, item.number) for item in items)
            keys.update(artifact.key for item in items for artifact in item.artifacts)
        return keys, folders


def _folder_of(key: str) -> str:
    """The folder of a number, or of what lies beside them: the first below `models/`, or `models/` itself."""
    if numbered := numbered_key(key):
        return version_prefix(*numbered)
    first, slash, _ = key.removeprefix(KEY_PREFIX).partition("/")
    return f"{KEY_PREFIX}{first}/" if slash else KEY_PREFIX
