"""The session and configuration of both AWS drivers' clients; nothing else imports aioboto3 (decision 7).

Region, endpoint and credentials come from where every AWS program takes them: the `AWS_…` variables, the shared
configuration files, and the role of the machine.
"""

import os
from collections.abc import Callable
from typing import Final, TypeAlias

import aioboto3
from aiobotocore.config import AioConfig
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError

from modelkeep.domain.errors import UnavailableError
from modelkeep.storage.aws.errors import CONFIGURATION_UNUSABLE

Session: TypeAlias = aioboto3.Session

CONFIG: Final = AioConfig(
    retries={"mode": "standard", "total_max_attempts": 3},
    connect_timeout=1,
    read_timeout=3,
    max_pool_connections=64,
    parameter_validation=False,
    user_agent_extra="modelkeep",
)
"""Short timeouts and few attempts, because callers have deadlines of their own. Our code validates the parameters."""


def new_session(on_retry: Callable[[str], None] = lambda _: None) -> Session:
    """Create a session. It costs about 0.2 s, so a process creates one, once.

    AWS_REGION takes precedence, as in the other SDKs; botocore reads only AWS_DEFAULT_REGION. `on_retry(backend)` is
    called before each retry by the SDK; backend is "table" or "store". Raises `UnavailableError` for a profile that
    does not exist.
    """
    try:
        session = Session(region_name=os.environ.get("AWS_REGION") or None)
    except BotoCoreError as error:
        raise UnavailableError(CONFIGURATION_UNUSABLE) from error
    for service, backend in (("dynamodb", "table"), ("s3", "store")):
        session.events.register(f"request-created.{service}", _on_sdk_retry(on_retry, backend))
    return session


def _on_sdk_retry(on_retry: Callable[[str], None], backend: str) -> Callable[..., None]:
    def on_request_created(request: AWSRequest, **_: object) -> None:
        if request.context.get("retries", {}).get("attempt", 1) > 1:
            on_retry(backend)

    return on_request_created
