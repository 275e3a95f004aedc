"""What the clients of a history do: readers that ask all the time who is production, and pipelines that change it."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from modelkeep.repositories.versions import Versions
from tests.support.histories.deployments import Deployment, Profile, patience
from tests.support.histories.linearizability import UndecidedError, Verdict, check
from tests.support.histories.recording import Client, Record
from tests.support.histories.specification import REGISTRY, Registry, as_logged
from tests.support.reference_registry import (
    ARCHIVED,
    NO_PRECONDITION,
    PRODUCTION,
    STAGING,
    Begin,
    Complete,
    Delete,
    Expected,
    Move,
    Read,
    RemoveAlias,
    Request,
    Resolve,
    RollBack,
    SetAlias,
    State,
)

CLIENTS: Final = 8
READERS: Final = 3
OPERATIONS: Final = 40
SHELVED: Final = 4
ABANDONED: Final = 0.03
ALIASES: Final = ("champion", "canary")
WHO: Final = "production"


@dataclass(slots=True)
class Known:
    """What the clients of a history know of one model together: the numbers begun, and those whose bytes arrived."""

    begun: list[int] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)


class Worker:
    """One client at work on two models, on the first most of the time."""

    def __init__(self, client: Client, models: Sequence[str], known: dict[str, Known]) -> None:
        self._client = client
        self._chance = client.chance
        self._models = models
        self._known = known
        self._commits: dict[str, str] = {}
        self._holders: dict[str, int] = {}

    async def read(self, operations: int) -> None:
        """Resolve, mostly production, several at once now and then."""
        while operations > 0:
            model = self._model()
            at_once = min(operations, self._chance.choice([1, 1, 1, 4]))
            await asyncio.gather(*(self._resolve(model, self._ref()) for _ in range(at_once)))
            operations -= at_once

    async def work(self, operations: int) -> None:
        """Change models, and look what became of it."""
        while operations > 0:
            model = self._model()
            if self._chance.random() < 0.35:
                await self._look(model)
                operations -= 1
                continue
            if self._chance.random() < 0.1:
                await self.register(model)
                operations -= 2
                continue
            asked = self._change(model)
            done = await self._client.ask(model, asked, key=self._key(asked))
            operations -= 1
            if done is not None and operations and isinstance(asked, Move | RollBack) and self._chance.random() < 0.6:
                await self._resolve(model, WHO)
                operations -= 1

    async def register(self, model: str) -> None:
        """Begin, send, and complete."""
        if number := await self.send(model):
            await self._client.ask(model, Complete(number), key=self._key(None))

    async def send(self, model: str) -> int | None:
        """Begin, and send; the number, if it is known."""
        begun = await self._client.ask(model, Begin(), key=self._key(None))
        if begun is None:
            return None
        number = int(begun["version"])
        self._known[model].begun.append(number)
        await self._client.deliver(begun)
        self._known[model].arrived.append(number)
        return number

    async def _look(self, model: str) -> None:
        if self._chance.random() < 0.2:
            await self._client.ask(model, Read(in_list=self._chance.random() < 0.5))
        else:
            await self._resolve(model, self._ref())

    async def _resolve(self, model: str, ref: str) -> None:
        known = self._commits.get(f"{model} {ref}") if self._chance.random() < 0.4 else None
        found = await self._client.ask(model, Resolve(ref, known))
        if found:
            self._commits[f"{model} {ref}"] = found["commit"]
            if ref == WHO:
                self._holders[model] = found["version"]

    def _ref(self) -> str:
        return self._chance.choices([WHO, "latest", *ALIASES], [7, 1, 1, 1])[0]

    def _model(self) -> str:
        return self._models[0] if self._chance.random() < 0.8 else self._models[1]

    def _key(self, asked: Request | None) -> str | None:
        """A rollback without a precondition needs a key; of the others, every other has one."""
        is_bare = isinstance(asked, RollBack) and asked.expected is NO_PRECONDITION
        return str(uuid4()) if is_bare or self._chance.random() < 0.5 else None

    def _change(self, model: str) -> Request:
        known = self._known[model]
        number = self._chance.choice([*known.begun[-6:], *known.begun[:2]])
        alias = self._chance.choice(ALIASES)
        changes: list[Request] = [
            Move(number, PRODUCTION, self._precondition(model), only_newer=self._chance.random() < 0.2),
            Move(number, self._chance.choice([STAGING, ARCHIVED])),
            RollBack(self._precondition(model)),
            SetAlias(alias, number),
            RemoveAlias(alias),
            Delete(number),
            Complete(self._chance.choice(known.arrived)),
        ]
        return self._chance.choices(changes, [12, 2, 3, 4, 1, 2, 1])[0]

    def _precondition(self, model: str) -> Expected:
        if self._chance.random() < 0.6:
            return NO_PRECONDITION
        return self._holders.get(model)


@dataclass(frozen=True, slots=True)
class Story:
    """One history, and what is wrong with it."""

    record: Record
    verdicts: dict[str, Verdict[State]]
    faults: list[str]


async def nothing(_: Sequence[str]) -> None:
    """Leave the models as they are."""


async def live_through(
    deployment: Deployment,
    profile: Profile,
    seed: int,
    *,
    before_work: Callable[[Sequence[str]], Awaitable[None]] = nothing,
    specification: Registry = REGISTRY,
) -> Story:
    """Let clients work on two new models on such a day, and judge what they were told and what is left.

    `before_work` is given the models with some versions, and an upload that has arrived.
    """
    models = [f"{name}-{uuid4().hex[:8]}" for name in ("fraud-detector", "churn")]
    record, known = Record(), defaultdict[str, Known](Known)
    await deployment.weather.settle()
    keeper = Worker(Client(deployment.apis, record, 0, seed=seed), models, known)
    for model in models:
        for _ in range(SHELVED if model == models[0] else 1):
            await keeper.register(model)
        await keeper.send(model)
    await before_work(models)
    abandons = 0 if profile is Profile.NONE else ABANDONED
    clients = [Client(deployment.apis, record, n, seed=seed, abandons=abandons) for n in range(1, CLIENTS + 1)]
    workers = [Worker(client, models, known) for client in clients]
    with patience(profile, deployment.weather):
        deployment.weather.turn(profile, seed)
        async with asyncio.TaskGroup() as at_work:
            for number, worker in enumerate(workers):
                at_work.create_task(worker.read(OPERATIONS) if number < READERS else worker.work(OPERATIONS))
        await asyncio.gather(*record.abandoned)
        await deployment.weather.settle()
    last = Client(deployment.apis, record, 0, seed=seed)
    for model in models:
        await last.ask(model, Read())
        await last.ask(model, Resolve(WHO))
    return await _judged(deployment, models, record, specification)


async def _judged(deployment: Deployment, models: Sequence[str], record: Record, specification: Registry) -> Story:
    """The log helps to find an order; if it does not lead to one, the search goes on without it."""
    faults = []
    log: dict[str, int] = {}
    for model in models:
        events = await deployment.apis[0].events(model)
        log |= {event["request_id"]: event["generation"] for event in events}
        if [event["generation"] for event in events] != list(range(1, await deployment.apis[0].generation(model) + 1)):
            faults.append(f"the log of '{model}' has gaps")
        numbers = [v.number async for v in Versions(deployment.table).walk(model) if v.stage == PRODUCTION]
        if len(numbers) > 1:
            faults.append(f"versions {numbers} of '{model}' are all production")
    verdicts, misleads = _verdicts(record, log, specification)
    faults += ["the log tells another order than any that explains the answers"] if misleads else []
    faults += [f"'{model}': {verdict}" for model, verdict in verdicts.items() if not verdict.is_linearizable]
    return Story(record, verdicts, faults)


def _verdicts(
    record: Record, log: Mapping[str, int], specification: Registry
) -> tuple[dict[str, Verdict[State]], bool]:
    """The verdicts, and whether only those that do not trust the log are good."""
    logged = check(as_logged(record.operations, log), specification)
    if all(verdict.is_linearizable for verdict in logged.values()):
        return logged, False
    try:
        verdicts = check(record.operations, specification)
    except UndecidedError:
        return logged, False
    return verdicts, all(verdict.is_linearizable for verdict in verdicts.values())
