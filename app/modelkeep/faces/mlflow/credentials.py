"""Where MLflow's clients put a registry token."""

import base64
from typing import Final

from starlette.types import Scope

from modelkeep.http.credentials import BEARER, CredentialSource

_SCHEME: Final = "basic "


def _read(scope: Scope) -> str | None:
    sent = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
    if len(sent) != 1 or sent[0][: len(_SCHEME)].lower() != _SCHEME:
        return BEARER.read(scope)
    try:
        _, _, password = base64.b64decode(sent[0][len(_SCHEME) :].strip(), validate=True).decode().partition(":")
    except ValueError:
        return ""
    return password


BEARER_OR_PASSWORD: Final = CredentialSource(_read, BEARER.challenge)
"""`MLFLOW_TRACKING_TOKEN`, or the password beside any user name."""
