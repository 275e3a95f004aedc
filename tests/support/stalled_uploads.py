"""Uploads that begin and then stand still, over real sockets."""

import socket
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

SENT = 1024 * 1024 - 1
"""Bytes that each of them sends: just less than the store would write at once if it had all."""


def stalled_upload(url: str, headers: Mapping[str, str]) -> socket.socket:
    """Begin a PUT of more than `SENT` bytes, send as many, and nothing more."""
    parts = urlsplit(url)
    lines = [f"PUT {parts.path}?{parts.query} HTTP/1.1", f"Host: {parts.netloc}"]
    head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""])
    client = socket.create_connection((parts.hostname, parts.port), timeout=60)
    client.sendall(head.encode() + bytes(SENT))
    return client


def wait_until_read(port: int) -> None:
    """Until the process that serves the port has read all that was sent to it.

    https://docs.kernel.org/networking/proc_net_tcp.html
    """
    while any(_unread_bytes(line, port) for line in Path("/proc/net/tcp").read_text().splitlines()[1:]):
        time.sleep(0.05)
    time.sleep(0.5)


def _unread_bytes(line: str, port: int) -> int:
    _, local, remote, _, queues, *_ = line.split()
    sent, received = (int(number, 16) for number in queues.split(":"))
    ends = {local: received, remote: sent}
    return sum(size for end, size in ends.items() if int(end.partition(":")[2], 16) == port)
