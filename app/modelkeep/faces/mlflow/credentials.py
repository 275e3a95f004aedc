"""Where MLflow's clients put a registry token."""

import base64
from typing import Final

from starlette.types import Scope

from modelkeep.http.context import first_header
from modelkeep.http.credentials import BEARER, CredentialSource

_SCHEME: Final = "basic "


def _read(scope: Scope) -> str | None:
    header = first_header(scope, b"authorization")
    if header[: len(_SCHEME)].lower() != _SCHEME:
        return BEARER.read(scope)
    try:
        _, _, password = base64.b64decode(header[len(_SCHEME) :], validate=True).decode().partition(":")
    except ValueError:
        return ""
    return password


BEARER_OR_PASSWORD: Final = CredentialSource(_read, BEARER.challenge)
"""`MLFLOW_TRACKING_TOKEN`, or the password beside any user name."""
