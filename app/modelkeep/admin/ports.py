"""A port that is to be listened on, tried before anything else is done."""

import errno
import socket
from typing import Final

_REASONS: Final = {
    errno.EADDRINUSE: "Port {port} of {host} is in use. Stop what listens there, or choose another with --port.",
    errno.EADDRNOTAVAIL: "{host} is no address of this machine. Choose another with --host.",
    errno.EACCES: "This user may not listen on port {port}. Choose one from 1024 on with --port.",
}


def require_free_port(host: str, port: int) -> None:
    """Raises `ValueError` if nothing can listen there. Another program may still take the port a moment later."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        number = errno.EADDRNOTAVAIL if isinstance(error, socket.gaierror) else error.errno
        reason = _REASONS.get(number or 0, f"Port {{port}} of {{host}} cannot be listened on: {error.strerror}.")
        raise ValueError(reason.format(host=host, port=port)) from None
