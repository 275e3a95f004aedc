"""Registries behind a guard, for operations that run with a role's rights, or with one of them taken away."""

from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from modelkeep.admin.iam_policies import Role, policy
from tests.support.api import Api, serving
from tests.support.backends import aws_environment, environment, prepare
from tests.support.faults.proxy import Proxy
from tests.support.iam import Document, Grant, without
from tests.support.iam_guard import Guard
from tests.support.iam_requests import ACCOUNT
from tests.support.programs import Said, operating
from tests.support.recipe import Recipe
from tests.support.servers import AwsServer
from tests.support.upkeep import Storage, looking_into


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A server, and the guard that stands before it at `guarded`."""

    server: AwsServer
    guarded: AwsServer
    guard: Guard


@contextmanager
def gate(server: AwsServer) -> Iterator[Gate]:
    """Put a guard before a server; presigned URLs lead through it as well."""
    guard = Guard()
    with Proxy().running() as proxy:
        proxy.behind = int(server.endpoint.rpartition(":")[2])
        proxy.when(".*", "", guard)
        yield Gate(server=server, guarded=replace(server, endpoint=proxy.url), guard=guard)


def policy_of(role: Role, variables: Mapping[str, str]) -> Document:
    """What `iam-policy` prints for a registry."""
    return policy(
        role,
        table=variables["MODELKEEP_TABLE"],
        bucket=variables["MODELKEEP_BUCKET"],
        account=ACCOUNT,
        region=variables["AWS_REGION"],
    )


@dataclass(frozen=True, kw_only=True)
class Registry:
    """A registry behind a gate, initialised: its service, and what lies below it."""

    variables: dict[str, str]
    api: Api
    storage: Storage


async def open_registry(gate: Gate, stack: AsyncExitStack) -> Registry:
    """Set one up, and open it to the end of the stack."""
    variables = aws_environment(gate.guarded)
    with environment(variables) as settings, gate.guard.enforcing(policy_of(Role.INIT, variables)):
        await prepare(settings)
        api = await stack.enter_async_context(serving(settings))
        storage = await stack.enter_async_context(looking_into(settings))
    return Registry(variables=variables, api=api, storage=storage)


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where an operation is tried: what comes before `with site.tested()` has the rights that it needs.

    `model` is a name and `folder` an empty place that no other operation uses.
    """

    gate: Gate
    registry: Registry
    variables: dict[str, str]
    role: Role
    lacking: Grant | None
    model: str
    folder: Path

    @property
    def api(self) -> Api:
        return self.registry.api

    @property
    def storage(self) -> Storage:
        return self.registry.storage

    @contextmanager
    def under(self, role: Role) -> Iterator[None]:
        with self.gate.guard.enforcing(policy_of(role, self.variables)):
            yield

    @contextmanager
    def tested(self) -> Iterator[None]:
        """Have the rights of the role, but for what is lacking."""
        document = policy_of(self.role, self.variables)
        with self.gate.guard.enforcing(without(document, self.lacking) if self.lacking else document):
            yield

    def elsewhere(self) -> "Site":
        """The same for commands that want a table and a bucket of their own, which are not there yet."""
        return replace(self, variables=aws_environment(self.gate.guarded))

    async def run(self, *command: str, status: int = 0) -> Said:
        """Run a command, and expect an exit status."""
        said = await operating(self.variables, *command)
        assert said.status == status, said
        return said

    @contextmanager
    def recipe(self) -> Iterator[Recipe]:
        """The public recipe on this site's table and bucket, with rights of its own."""
        recipe = Recipe(self.gate.server, self.variables["MODELKEEP_TABLE"], self.variables["MODELKEEP_BUCKET"])
        try:
            yield recipe
        finally:
            recipe.close()


def site(gate: Gate, registry: Registry, role: Role, lacking: Grant | None, folder: Path) -> Site:
    return Site(
        gate=gate,
        registry=registry,
        variables=registry.variables,
        role=role,
        lacking=lacking,
        model=f"model-{uuid4().hex[:12]}",
        folder=folder,
    )
