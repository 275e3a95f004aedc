"""The OpenID Connect token of a job of GitHub Actions, so that a pipeline needs no stored secret.

https://docs.github.com/en/actions/reference/security/oidc
"""

import time
from typing import Final

import httpx
from pydantic import BaseModel, ValidationError

from modelkeep.client.errors import NoTokenError
from modelkeep.client.http_transports import BlockingTransport
from modelkeep.client.retries import MAX_ATTEMPTS, TRANSIENT_STATUSES, reason_of, retry_delay

_TIMEOUT_SECONDS: Final = 10


class _TokenResponse(BaseModel):
    value: str


def request_token(url: str, bearer: str, audience: str) -> str:
    """Request a token for one audience from the runner's `url`, with the runner's `bearer` token.

    Blocks. Transient failures are retried. Raises `NoTokenError`.
    """
    for attempt in range(1, MAX_ATTEMPTS + 1):
        if attempt > 1:
            time.sleep(retry_delay(attempt - 1))
        try:
            response = _send_request(url, bearer, audience)
        except httpx.RequestError as error:
            reason = reason_of(error)
            continue
        if response.is_success:
            return _parse(response)
        reason = f"it answers with status {response.status_code}"
        if response.status_code not in TRANSIENT_STATUSES:
            raise NoTokenError("GitHub", f"{reason}. Give the job 'permissions: id-token: write'")
    raise NoTokenError("GitHub", reason)


def _send_request(url: str, bearer: str, audience: str) -> httpx.Response:
    address = httpx.URL(url).copy_merge_params({"audience": audience})
    headers = {"authorization": f"Bearer {bearer}", "accept": "application/json"}
    with httpx.Client(transport=BlockingTransport(), timeout=_TIMEOUT_SECONDS, follow_redirects=False) as http:
        return http.get(address, headers=headers)


def _parse(response: httpx.Response) -> str:
    try:
        return _TokenResponse.model_validate_json(response.content).value
    except ValidationError:
        raise NoTokenError("GitHub", "its answer holds none") from None
