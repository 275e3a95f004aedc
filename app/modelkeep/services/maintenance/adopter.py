"""Takes over a table and a bucket that the public recipe filled."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Final

from modelkeep.domain import changes
from modelkeep.domain.access.actions import Action
from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.changes import Decision
from modelkeep.domain.models import Head, Version
from modelkeep.domain.values import Digest, Stage, check_model_name
from modelkeep.kit.digests import sha256_of_blocks
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.table_scan import TableScan
from modelkeep.repositories.versions import Versions
from modelkeep.services.access.caller import operator_caller
from modelkeep.services.models import existing
from modelkeep.storage.objects import ObjectStore

CALLER: Final = operator_caller("init", request_id="init --adopt")


def is_model_name(name: str) -> bool:
    """Whether a model of the public recipe, which takes any name, can be a model here."""
    try:
        check_model_name(name)
    except ValueError:
        return False
    return True


class Adopter:
    """Builds heads where they are missing, without rewriting a version; safe to repeat."""

    def __init__(self, ledger: Ledger, versions: Versions, survey: TableScan, store: ObjectStore) -> None:
        self._ledger = ledger
        self._versions = versions
        self._survey = survey
        self._store = store

    async def adopt(self, *, verify: bool) -> AsyncGenerator[str, None]:
        """Take every model over, and say what was found.

        Where several versions claim production, the highest number keeps it and the others are archived: those items,
        and no others, are written. With `verify` each object is read once and its size and digest are noted.
        """
        models = await self._survey.models()
        await self._store.reach()
        for model in models:
            if not is_model_name(model):
                yield f"{model}: no model can have this name here; its versions cannot be served"
                continue
            versions = [version async for version in self._versions.walk(model)]
            if versions:
                async for sentence in self._adopt(model, versions, verify=verify):
                    yield sentence

    async def _adopt(self, model: str, versions: Sequence[Version], *, verify: bool) -> AsyncGenerator[str, None]:
        found = await self._ledger.head(model)
        if found and found.deleted_at:
            yield f"{model}: was deleted here; {len(versions)} version(s) written since are not served"
            return
        claims = sorted(version.number for version in versions if version.stage is Stage.PRODUCTION)
        head = await self._catch_up(model, versions)
        if strays := [number for number in claims if number != head.production_version]:
            yield (
                f"{model}: version(s) {', '.join(map(str, claims))} claimed production;"
                f" {head.production_version or 'none'} has it, {', '.join(map(str, strays))} archived"
            )
            await self._archive_strays(model)
        yield f"{model}: {len(versions)} version(s), production is {head.production_version or 'none'}"
        for version in versions:
            if version.size is None or verify or not version.artifacts:
                async for sentence in self._examine(version, verify=verify):
                    yield sentence

    async def _catch_up(self, model: str, versions: Sequence[Version]) -> Head:
        operation = CALLER.operation(Action.MODEL_WRITE, model)

        async def decide(head: Head | None) -> Decision[Head]:
            return changes.catch_up(existing(head, model), versions, operation)

        async def replay(_: int | None) -> Head:
            return existing(await self._ledger.head(model), model)

        return await self._ledger.apply(model, operation, decide, replay=replay)

    async def _archive_strays(self, model: str) -> None:
        async def decide(head: Head | None) -> Decision[bool]:
            live = existing(head, model)
            strays = changes.conflicting_production_of(live, [version async for version in self._versions.walk(model)])
            if not strays:
                return changes.Unchanged(result=False)
            return changes.archive_strays(live, strays[: changes.MAX_MOVES], operation)

        async def replay(_: int | None) -> bool:
            return False

        more = True
        while more:
            operation = CALLER.operation(Action.MODEL_WRITE, model)
            more = await self._ledger.apply(model, operation, decide, replay=replay)

    async def _examine(self, version: Version, *, verify: bool) -> AsyncGenerator[str, None]:
        name = f"{version.model} {version.number}"
        if not version.artifacts:
            yield f"{name}: it names no object and cannot be served"
        for artifact in version.artifacts:
            if self._store.key_of(version.s3_path) != artifact.key and artifact.sha256 is None:
                yield f"{name}: {version.s3_path} is not in this store and cannot be served"
            elif await self._store.stat(artifact.key) is None:
                yield f"{name}: there is no object at {version.s3_path}"
            elif verify and artifact.sha256 is None:
                yield f"{name}: verified, SHA-256 {await self._verify(version, artifact)}"

    async def _verify(self, version: Version, artifact: Artifact) -> Digest:
        stored = await self._store.stat(artifact.key)
        version_id = stored.version_id if stored else None
        digest, size = await sha256_of_blocks(self._store.read(artifact.key, version_id=version_id))
        sha256 = Digest(digest)
        verified = replace(artifact, size=size, sha256=sha256, version_id=version_id)
        await self._note(version, verified)
        return sha256

    async def _note(self, version: Version, verified: Artifact) -> None:
        operation = CALLER.operation(Action.MODEL_WRITE, version.model)

        async def decide(head: Head | None) -> Decision[Version]:
            now = await self._versions.find(version.model, version.number) or version
            return changes.verify(existing(head, version.model), now, replace(now, artifacts=(verified,)), operation)

        async def replay(_: int | None) -> Version:
            return version

        await self._ledger.apply(version.model, operation, decide, replay=replay)
