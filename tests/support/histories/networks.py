"""Several instances of the service before AWS, and a bad network between: the days of `deployments`, on the wire."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from unittest import mock

from botocore.retries.standard import ExponentialBackoff

from modelkeep.bootstrap import open_storage
from modelkeep.settings import Settings
from tests.support.api import Api
from tests.support.backends import aws_environment, environment, prepare
from tests.support.faults.aws import Fault, Plan, at_random, no_faults
from tests.support.faults.dynamodb_proxy import DynamoDbProxy, before_dynamodb
from tests.support.faults.s3_proxy import S3Proxy, before_s3
from tests.support.histories.deployments import Deployment, Profile, instances
from tests.support.servers import AwsServer

WRITE: Final = "TransactWriteItems"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFaults:
    """What a profile does between the service and AWS, to each attempt of the SDK: how often, and what.

    `rate` and `writes` are of DynamoDB's transactions, `others` of all else and of the callers' uploads. What is late
    is so by about `delay` seconds, and the indexes are by `lag`.
    """

    rate: float = 0.0
    writes: Sequence[Fault] = ()
    other_rate: float = 0.0
    others: Sequence[Fault] = ()
    delay: float = 0.05
    lag: float = 0.0

    def plan(self, seed: int) -> Plan:
        """The same for the same seed and requests."""
        writes = at_random(seed, self.rate, self.writes)
        others = at_random(seed + 50, self.other_rate, self.others)

        def plan(operation: str, parameters: Mapping[str, Any]) -> Fault:
            return (writes if operation == WRITE else others)(operation, parameters)

        return plan


_LOST: Final = (Fault.REQUEST_LOST, Fault.RESET)
_UNHEARD: Final = (Fault.REPLY_LOST, Fault.HALF_REPLY, Fault.ERROR_500_AFTER)
_CONTENTION: Final = (Fault.CONFLICT, Fault.IN_PROGRESS, Fault.THROTTLED)

NETWORK: Final = {
    Profile.NONE: NetworkFaults(),
    Profile.REQUESTS_LOST: NetworkFaults(rate=0.4, writes=[*_LOST, Fault.HANGING], other_rate=0.2, others=_LOST),
    Profile.REPLIES_LOST: NetworkFaults(rate=0.6, writes=_UNHEARD, other_rate=0.2, others=_UNHEARD),
    Profile.LATE_EFFECTS: NetworkFaults(
        rate=0.8, writes=[Fault.LATE, Fault.THROTTLED], other_rate=0.2, others=[Fault.LATE], delay=0.15
    ),
    Profile.CONTENTION: NetworkFaults(rate=0.6, writes=_CONTENTION, other_rate=0.2, others=_CONTENTION),
    Profile.UNAVAILABLE: NetworkFaults(
        rate=0.5, writes=[Fault.ERROR_500, Fault.THROTTLED], other_rate=0.3, others=[Fault.ERROR_500, Fault.THROTTLED]
    ),
    Profile.SLOW_READS: NetworkFaults(
        rate=0.3, writes=[Fault.DELAYED], other_rate=0.3, others=[Fault.DELAYED], delay=0.03, lag=5
    ),
    Profile.EVERYTHING: NetworkFaults(
        rate=0.5,
        writes=[*_LOST, *_UNHEARD, *_CONTENTION, Fault.LATE, Fault.DELAYED, Fault.ERROR_500, Fault.HANGING],
        other_rate=0.2,
        others=[*_LOST, *_UNHEARD, *_CONTENTION, Fault.LATE, Fault.DELAYED, Fault.ERROR_500],
        lag=5,
    ),
}


class Network:
    """Weather between the service and AWS, whose rules for S3 hold on every day."""

    patience = 0.6

    def __init__(self, dynamodb: DynamoDbProxy, s3: S3Proxy) -> None:
        self.dynamodb = dynamodb
        self.s3 = s3

    def turn(self, profile: Profile, seed: int) -> None:
        faults = NETWORK[profile]
        for number, proxy in enumerate((self.dynamodb, self.s3)):
            proxy.plan, proxy.delay = faults.plan(seed * 100 + number), faults.delay
        self.dynamodb.lag = faults.lag

    async def settle(self) -> None:
        self.dynamodb.lag = 0
        for proxy in (self.dynamodb, self.s3):
            proxy.plan = no_faults
            await proxy.quiesce()
        assert self.s3.violations == []

    def met(self) -> set[tuple[str, Fault]]:
        """Which operations met which faults so far."""
        return {(each.operation, each.fault) for each in (*self.dynamodb.requests, *self.s3.requests)}


@asynccontextmanager
async def deployed_on_aws(
    server: AwsServer,
    tables: AwsServer,
    serve: Callable[[Settings], AbstractAsyncContextManager[Sequence[Api]]] = instances,
) -> AsyncIterator[tuple[Deployment, Network]]:
    """Serve from several instances with weather on the wire: objects are at one server, the table may be at another.

    The deployment's own table is beside the network, not behind it. `serve` finds the settings in the environment, too.
    """
    variables = aws_environment(server) | {"AWS_ENDPOINT_URL_DYNAMODB": tables.endpoint}
    with environment(variables) as settings, _no_pauses():
        await prepare(settings)
        async with (
            open_storage(settings) as (table, _),
            before_dynamodb(tables.endpoint) as dynamodb,
            before_s3(server) as s3,
        ):
            between = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb.endpoint, "AWS_ENDPOINT_URL_S3": s3.endpoint}
            with environment(variables | between | {"MODELKEEP_S3_PUBLIC_URL": s3.endpoint}) as changed:
                async with serve(changed) as apis:
                    network = Network(dynamodb, s3)
                    yield Deployment(apis, network, table), network


@contextmanager
def _no_pauses() -> Iterator[None]:
    """Let the SDK send again at once."""
    with mock.patch.object(ExponentialBackoff, "delay_amount", return_value=0):
        yield
