"""What each role does, as one journey that needs every action of its policy: without one of them, it fails.

A `Site` is a registry behind an IAM guard. What a journey prepares, it does `with site.under(role)` that may do so;
what the policy in question must allow, `with site.tested()`.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from unittest import mock
from uuid import uuid4

from modelkeep.admin.iam_policies import Role, policy
from modelkeep.bootstrap import ownership_of
from modelkeep.domain.access.trust import IssuerKind
from modelkeep.domain.artifacts import object_key
from modelkeep.services.ownership import Ownership
from modelkeep.storage.aws import s3_writes
from tests.support.access import secured
from tests.support.api import Api, serving
from tests.support.backends import aws_environment, environment, prepare
from tests.support.iam_simulator import ACCOUNT, Document, Guard
from tests.support.issuers import AUDIENCE, issuer_server
from tests.support.migrations import local_settings
from tests.support.programs import Said, operating
from tests.support.recipe import Recipe
from tests.support.servers import AwsServer
from tests.support.upkeep import Storage, looking_into

FILES: Final = {"model.pt": b"weights"}
LONG_AFTER: Final = timedelta(days=30)

PARTS_STAY: Final = "the parts are still there"
"""All that comes of not being allowed to drop parts: no request fails for it, since others drop them later."""


def policy_of(role: Role, variables: Mapping[str, str], *, without: str = "") -> Document:
    """What `iam-policy` prints for a registry, but for one "statement action"."""
    table, bucket = variables["MODELKEEP_TABLE"], variables["MODELKEEP_BUCKET"]
    names = {"table": table, "bucket": bucket, "account": ACCOUNT, "region": variables["AWS_REGION"]}
    document = policy(role, **names, partition="aws")
    for statement in document["Statement"]:
        statement["Action"] = [action for action in statement["Action"] if f"{statement['Sid']} {action}" != without]
    return document


@dataclass(frozen=True, kw_only=True)
class Site:
    """A registry behind a guard, a role, and what it lacks; `model` and `folder` are of one journey alone."""

    server: AwsServer
    guard: Guard
    variables: dict[str, str]
    api: Api
    storage: Storage
    role: Role
    lacking: str = ""
    model: str = ""
    folder: Path = Path("/nowhere")

    def under(self, role: Role, *, without: str = "") -> AbstractContextManager[None]:
        return self.guard.enforcing(policy_of(role, self.variables, without=without))

    def tested(self) -> AbstractContextManager[None]:
        return self.under(self.role, without=self.lacking)

    def elsewhere(self) -> "Site":
        """The same for commands that want a table and a bucket of their own, which are not there yet."""
        name = f"registry-{uuid4().hex[:12]}"
        return replace(self, variables={**self.variables, "MODELKEEP_TABLE": name, "MODELKEEP_BUCKET": name})

    def ownership(self) -> Ownership:
        """A service without the right to ask for it starts all the same."""
        return ownership_of(self.storage.table, self.storage.store, self.storage.settings)

    async def ask(self, method: str, path: str, body: object = None, **options: object) -> object:
        """Ask for a path below the model's own."""
        return await self.api.ask(method, f"/{self.model}{path}", body, **options)  # type: ignore[arg-type]

    async def run(self, *command: str, status: int = 0) -> Said:
        """Run a command, and expect an exit status."""
        said = await operating(self.variables, *command)
        assert said.status == status, said
        return said

    async def check(self) -> None:
        """Find no fault, and nothing that could not be checked."""
        said = await self.run("check")
        assert said.out == ["clean"], said

    async def move(self, *, status: int = 0) -> Said:
        """Move what is in the folder here."""
        return await self.run("migrate", "--from", f"local:{self.folder}", "--to", "aws", status=status)

    @contextmanager
    def recipe(self) -> Iterator[Recipe]:
        """The public recipe on this site's table and bucket, past the guard."""
        recipe = Recipe(self.server, self.variables["MODELKEEP_TABLE"], self.variables["MODELKEEP_BUCKET"])
        try:
            yield recipe
        finally:
            recipe.close()


@asynccontextmanager
async def open_site(server: AwsServer, guarded: AwsServer, guard: Guard, role: Role) -> AsyncIterator[Site]:
    """Set a registry up, and open it; `guarded` is where the guard stands before the server."""
    variables = aws_environment(guarded)
    with environment(variables) as settings, guard.enforcing(policy_of(Role.INIT, variables)):
        await prepare(settings)
        async with serving(settings) as api, looking_into(settings) as storage:
            yield Site(server=server, guard=guard, variables=variables, api=api, storage=storage, role=role)


async def serve(site: Site) -> None:
    """Ask every route, and use the operator's commands for tokens and trust."""
    with site.tested():
        await site.ownership().require()
        await _register(site)
        await _change(site)
        await _tokens(site)
        await _exchange_an_identity(site)
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await site.api.http.get(path)).status_code == 200


async def _register(site: Site) -> None:
    for multipart in (False, True):
        begun = await site.api.begin(site.model, FILES, multipart=multipart, reuse=False)
        await site.ask("GET", f"/versions/{begun['version']}/upload")
        await site.api.upload(begun, FILES)
        await site.api.complete(site.model, begun["version"])
    begun = await site.api.begin(site.model, FILES, multipart=True, reuse=False)
    parts = {"path": "model.pt", "parts": [{"number": 1, "sha256": begun["artifacts"][0]["sha256"]}]}
    signed = await site.api.ask("POST", f"/{site.model}/versions/3/upload/parts", parts)
    await site.ask("GET", "/uploads")
    await site.ask("DELETE", "/versions/3/upload", status=204)
    late = await site.api.send(signed["parts"][0], FILES["model.pt"])
    assert late.status_code == 404, PARTS_STAY


async def _change(site: Site) -> None:
    await site.ask("PUT", "", {})
    await site.ask("PATCH", "", {"description": "finds fraud"})
    await site.ask("PATCH", "/versions/2", {"metrics": {"f1": 0.9}})
    await site.ask("PUT", "/aliases/canary", {"version": 1})
    await site.api.promote(site.model, 1)
    await site.api.promote(site.model, 2)
    for _ in range(2):
        await site.ask("POST", "/rollback", {}, headers={"idempotency-key": "back"})
    await site.ask("PUT", "/versions/1/stage", {"stage": "production"}, headers={"idempotency-key": "no change"})
    assert site.model in [found["model"] async for found in site.api.walk("")]
    assert len([version async for version in site.api.walk(f"/{site.model}/versions")]) == 2
    await site.ask("GET", "/versions/latest")
    await site.ask("GET", "/compare?a=1&b=2")
    assert await site.api.fetch(site.model) == FILES
    answer = await site.api.request("GET", f"/models/{site.model}/versions/1/artifacts/model.pt")
    assert (await site.api.http.get(answer.headers["location"])).content == FILES["model.pt"]
    assert len(await site.api.events(site.model)) == await site.api.generation(site.model)
    await site.ask("DELETE", "/versions/2", status=204)
    await site.ask("POST", "/versions/2/restore")
    await site.ask("DELETE", "/aliases/canary", status=204)
    await site.ask("PUT", "/versions/1/stage", {"stage": "archived"})
    await site.ask("DELETE", "", status=204)


async def _tokens(site: Site) -> None:
    """Make tokens by the command, and with one of these at a service that asks for one."""
    (secret,) = (await site.run("token", "create", "--direct", site.model, "--days", "1", "--allow", "admin")).out
    with environment(site.variables) as settings:
        async with secured(settings) as service:
            service.anonymous.http.event_hooks = site.api.http.event_hooks
            end = (datetime.now(UTC) + timedelta(days=1)).isoformat()
            body = {"principal": "ci", "allow": ["reader"], "models": ["*"], "expires_at": end}
            holder = service.bearer(secret)
            made = (await holder.request("POST", "/tokens", json=body)).json()
            assert (await holder.request("GET", "/tokens")).json()["items"]
            assert (await holder.request("GET", "/whoami")).json()["principal"] == site.model
            assert (await holder.request("PUT", "/access", json={"rules": []})).status_code == 200
            assert (await holder.request("GET", "/access")).json()["document"] == {"rules": []}
            question = {"token": secret, "action": "model.read"}
            assert (await holder.request("POST", "/access/explain", json=question)).json()["allowed"]
            assert (await holder.request("DELETE", f"/tokens/{made['id']}")).status_code == 204
    (listed,) = [line for line in (await site.run("token", "list", "--direct")).out if site.model in line]
    await site.run("token", "revoke", "--direct", listed.split()[0])


async def _exchange_an_identity(site: Site) -> None:
    """Trust an issuer, by a file that goes into the table, and come with its token to a service that asks for one."""
    with issuer_server(IssuerKind.KUBERNETES) as issuer, environment(site.variables) as settings:
        rule = {"id": "serving", "issuer": "cluster", "match": {"sub": issuer.claims()["sub"]}, "allow": ["reader"]}
        trust = {"issuers": {"cluster": {"kind": "kubernetes", "url": issuer.url, "audience": [AUDIENCE]}}}
        file = site.folder / "access.json"
        file.write_text(json.dumps({**trust, "rules": [rule]}))
        await site.run("access", "set", "--direct", str(file))
        async with secured(settings) as service:
            service.anonymous.http.event_hooks = site.api.http.event_hooks
            answer = await service.bearer(issuer.token()).request("POST", "/auth/token")
            assert answer.status_code == 200, answer.text
            await service.bearer(answer.json()["access_token"]).ask("GET", "")


async def migrate(site: Site) -> None:
    """Move in, bring a deletion forward, leave out a damaged file without leaving its parts, and move out."""
    source, damaged = local_settings(site.folder), object_key(site.model, 2, "model.pt")
    async with serving(source) as api:
        await api.register(site.model)
        with site.tested():
            await site.move()
            await api.ask("DELETE", f"/{site.model}/versions/1", status=204)
            await site.move()
            await api.register(site.model)
            await api.register(site.model)
            (source.data_dir / "objects" / damaged).write_bytes(b"damaged")
            with mock.patch.object(s3_writes, "PART_SIZE", 4):
                assert "is damaged" in (await site.move(status=1)).out[0]
            await site.run("migrate", "--from", "aws", "--to", f"local:{site.folder / 'moved'}")
    with site.under(Role.SWEEP):
        assert await site.storage.open_multiparts() == set(), PARTS_STAY


async def sweep(site: Site) -> None:
    """Expire uploads, purge the trash, and check versions, one of which was adopted, and another is hidden."""
    with site.recipe() as recipe:
        recipe.register(site.model, b"weights", {})
    with site.under(Role.SERVE):
        await site.api.register(site.model)
        await site.api.register(site.model, reuse=False)
        await site.ask("DELETE", "/versions/2", status=204)
        await site.api.upload(await site.api.begin(site.model, FILES, reuse=False), FILES)
        await site.api.begin(site.model, FILES, multipart=True, reuse=False)
    with site.recipe() as recipe:
        recipe.s3.delete_object(Bucket=recipe.bucket, Key=object_key(site.model, 3, "model.pt"))
    with site.tested():
        checked = await site.run("check", status=1)
        assert f"{site.model}: version 3 'model.pt' is hidden" in "\n".join(checked.out), checked
        assert "could not be checked" not in "\n".join(checked.out), checked
        await site.run("sweep")
        said = await site.storage.sweep(after=LONG_AFTER)
        assert await site.storage.open_multiparts() == set()
    assert {f"{site.model} 4: expired upload", f"{site.model} 2: purged, {len(site.model)} bytes"} <= set(said)


async def init(site: Site) -> None:
    """Make everything anew; and close, adopt and verify what the public recipe has made."""
    with (new := site.elsewhere()).tested():
        await new.run("init")
    with (old := site.elsewhere()).recipe() as recipe:
        recipe.create()
        recipe.s3.delete_public_access_block(Bucket=recipe.bucket)
        recipe.s3.put_bucket_versioning(Bucket=recipe.bucket, VersioningConfiguration={"Status": "Enabled"})
        recipe.register("fraud", b"weights", {"f1": 0.9})
    with old.tested():
        said = await old.run("init", "--adopt", "--verify")
        assert "Public access was blocked." in said.out
        assert said.out[-1].startswith("fraud 1: verified")
        await old.check()
    with (taken := replace(new, variables={**old.variables, **_table_of(new)})).tested():
        await taken.run("init", "--take-over")


def _table_of(site: Site) -> dict[str, str]:
    return {"MODELKEEP_TABLE": site.variables["MODELKEEP_TABLE"]}


JOURNEYS: Final[Mapping[Role, Callable[[Site], Awaitable[None]]]] = {
    Role.SERVE: serve,
    Role.MIGRATE: migrate,
    Role.SWEEP: sweep,
    Role.INIT: init,
}
