"""Takes over a table and a bucket that the public recipe filled."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from modelkeep.domain import changes
from modelkeep.domain.access.actions import Action
from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.changes import Decision
from modelkeep.domain.models import Head, Version, existing
from modelkeep.domain.values import Digest, Stage, is_model_name
from modelkeep.kit.digests import sha256_of_blocks
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.table_scan import TableScan
from modelkeep.repositories.versions import Versions, fitting
from modelkeep.services.access.caller import Caller, operator_caller
from modelkeep.services.maintenance import findings
from modelkeep.services.maintenance.findings import Finding
from modelkeep.storage.objects import ObjectStore


def is_foreign(store: ObjectStore, version: Version, artifact: Artifact) -> bool:
    """Whether a version that was adopted, and never verified, has its object in another store than this."""
    return artifact.sha256 is None and store.key_of(version.s3_path) != artifact.key


class Adopter:
    """Makes heads where they are missing, without rewriting a version; safe to repeat."""

    def __init__(self, ledger: Ledger, versions: Versions, scan: TableScan, store: ObjectStore) -> None:
        self._ledger = ledger
        self._versions = versions
        self._scan = scan
        self._store = store

    async def adopt(self, *, verify: bool) -> AsyncGenerator[Finding, None]:
        """Take every model over, and yield what was found. Raises `UnavailableError`.

        Where several versions claim production, the highest number keeps it and the others are archived: those items,
        and no others, are written. With `verify` each object is read once, and its size and digest are recorded.
        """
        models = await self._scan.models()
        await self._store.reach()
        for model in models:
            if not is_model_name(model):
                yield findings.InvalidModelName(model)
                continue
            versions = [version async for version in self._versions.walk(model)]
            if versions:
                async for finding in self._adopt(model, versions, verify=verify):
                    yield finding

    async def _adopt(self, model: str, versions: Sequence[Version], *, verify: bool) -> AsyncGenerator[Finding, None]:
        found = await self._ledger.head(model)
        if found and found.deleted_at:
            yield findings.DeletedModelSkipped(model, len(versions))
            return
        claimed = tuple(sorted(version.number for version in versions if version.stage is Stage.PRODUCTION))
        production = (await self._catch_up(model, versions)).production_version
        if strays := tuple(number for number in claimed if number != production):
            yield findings.ProductionConflictResolved(model, claimed, production, strays)
            await self._archive_strays(model)
        yield findings.ModelAdopted(model, len(versions), production)
        for version in versions:
            if version.size is None or verify or not version.artifacts:
                async for finding in self._examine(version, verify=verify):
                    yield finding

    async def _catch_up(self, model: str, versions: Sequence[Version]) -> Head:
        operation = _new_caller().operation(Action.MODEL_WRITE, model)

        async def decide(head: Head | None) -> Decision[Head]:
            return changes.catch_up(existing(head, model), versions, operation)

        async def replay(_: int | None) -> Head:
            return existing(await self._ledger.head(model), model)

        return await self._ledger.apply(model, operation, decide, on_duplicate=replay)

    async def _archive_strays(self, model: str) -> None:
        async def decide(head: Head | None) -> Decision[bool]:
            live = existing(head, model)
            strays = changes.conflicting_production_of(live, [version async for version in self._versions.walk(model)])
            if not strays:
                return changes.Unchanged(result=False)
            return changes.archive_strays(live, fitting(strays), operation)

        async def replay(_: int | None) -> bool:
            return False

        more = True
        while more:
            operation = _new_caller().operation(Action.MODEL_WRITE, model)
            more = await self._ledger.apply(model, operation, decide, on_duplicate=replay)

    async def _examine(self, version: Version, *, verify: bool) -> AsyncGenerator[Finding, None]:
        name = (version.model, version.number)
        if not version.artifacts:
            yield findings.VersionWithoutObject(*name)
        for artifact in version.artifacts:
            if is_foreign(self._store, version, artifact):
                yield findings.ForeignObject(*name, artifact.path, artifact.key, version.s3_path)
            elif await self._store.stat(artifact.key) is None:
                yield findings.MissingObject(*name, artifact.path, artifact.key)
            elif verify and artifact.sha256 is None:
                yield findings.VersionVerified(*name, (await self._verify(version, artifact)).hex)

    async def _verify(self, version: Version, artifact: Artifact) -> Digest:
        stored = await self._store.stat(artifact.key)
        version_id = stored.version_id if stored else None
        digest, size = await sha256_of_blocks(self._store.read(artifact.key, version_id=version_id))
        sha256 = Digest(digest)
        verified = replace(artifact, size=size, sha256=sha256, version_id=version_id)
        await self._record(version, verified)
        return sha256

    async def _record(self, version: Version, verified: Artifact) -> None:
        operation = _new_caller().operation(Action.MODEL_WRITE, version.model)

        async def decide(head: Head | None) -> Decision[Version]:
            now = await self._versions.find(version.model, version.number) or version
            return changes.verify(existing(head, version.model), now, replace(now, artifacts=(verified,)), operation)

        async def replay(_: int | None) -> Version:
            return version

        await self._ledger.apply(version.model, operation, decide, on_duplicate=replay)


def _new_caller() -> Caller:
    """The adoption as a caller; a new one for each step, because a caller collects the decisions on one request."""
    return operator_caller("init", request_id="init --adopt")
