"""The identity of a job of GitHub Actions, which GitHub vouches for: nothing is stored anywhere.

https://docs.github.com/en/actions/reference/security/oidc
"""

import time
from typing import Final

import httpx
from pydantic import BaseModel, ValidationError

from modelkeep.client.errors import NoTokenError
from modelkeep.client.retries import ATTEMPTS, TRANSIENT, pause, reason_of

_SECONDS: Final = 10


class _Answer(BaseModel):
    value: str


def request_token(url: str, bearer: str, audience: str) -> str:
    """Ask where the runner says, with the bearer token for that, for a token that is good at one audience alone.

    What may pass is tried again. Raises `NoTokenError`.
    """
    for attempt in range(1, ATTEMPTS + 1):
        if attempt > 1:
            time.sleep(pause(attempt - 1))
        try:
            answer = _ask(url, bearer, audience)
        except httpx.RequestError as error:
            reason = reason_of(error)
            continue
        if answer.is_success:
            return _token_in(answer)
        reason = f"it answers with status {answer.status_code}"
        if answer.status_code not in TRANSIENT:
            raise NoTokenError("GitHub", f"{reason}. Give the job 'permissions: id-token: write'")
    raise NoTokenError("GitHub", reason)


def _ask(url: str, bearer: str, audience: str) -> httpx.Response:
    address = httpx.URL(url).copy_merge_params({"audience": audience})
    headers = {"authorization": f"Bearer {bearer}", "accept": "application/json"}
    return httpx.get(address, headers=headers, timeout=_SECONDS, follow_redirects=False)


def _token_in(answer: httpx.Response) -> str:
    try:
        return _Answer.model_validate_json(answer.content).value
    except ValidationError:
        raise NoTokenError("GitHub", "its answer holds none") from None
