"""What to do about a connection that fails, by the failure of the operating system or of TLS behind it."""

import socket
import ssl
from collections.abc import Iterator
from typing import Final

import httpx

_ADVICE: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...]] = (
    (ssl.SSLError, "What listens there does not speak TLS. Write http:// in place of https://, or another port."),
    (ConnectionRefusedError, "Nothing listens there: check the host and the port, and that the program runs."),
    (socket.gaierror, "The host's name cannot be resolved: check how it is spelled, DNS, and whether a VPN is needed."),
    (
        httpx.TimeoutException,
        "Something drops what is sent: a firewall, or a network that needs a VPN or a proxy (HTTPS_PROXY).",
    ),
    (
        (httpx.RemoteProtocolError, httpx.ReadError),
        "What listens there does not answer in HTTP. If it speaks TLS, write https:// in place of http://.",
    ),
)


def advice_on(failure: BaseException) -> str:
    """What the failure means and what to do; an empty text if nothing more is known than that it failed."""
    for cause in _causes(failure):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"Its certificate is not accepted: {cause.verify_message}."
                " If an authority of your own has signed it, set SSL_CERT_FILE to that authority's certificate."
            )
        for kind, advice in _ADVICE:
            if isinstance(cause, kind):
                return advice
    return ""


def _causes(failure: BaseException | None) -> Iterator[BaseException]:
    """The failure, and what it was raised from; of several at once, the first."""
    while failure is not None:
        yield failure
        first = failure.exceptions[0] if isinstance(failure, BaseExceptionGroup) else None
        failure = first or failure.__cause__ or failure.__context__
