"""What uploads to the embedded store hold in the program while they stand still."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from tests.support.backends import local_environment
from tests.support.programs import EXECUTABLE, Server, serving
from tests.support.servers import free_port
from tests.support.stalled_uploads import SENT, stalled_upload, wait_until_read
from tests.support.stores import digest_of

KIB = 1024
LIMIT = 128 * KIB
SIZE = 2 * SENT


def uploads(server: Server, count: int) -> Sequence[Any]:
    """Signed URLs for so many files of one version."""
    sha256 = digest_of(bytes(SIZE)).hex
    artifacts = [{"path": f"part-{number}", "size": SIZE, "sha256": sha256} for number in range(count)]
    begun = httpx.post(
        f"{server.url}/v1/models/of-{count}/versions", json={"artifacts": artifacts}, trust_env=False, timeout=60
    )
    return [artifact["upload"] for artifact in begun.json()["artifacts"]]


def resident(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * KIB


def test_a_stalled_upload_holds_at_most_128_kib(tmp_path: Path) -> None:
    port = free_port()
    options = ["serve", "--host", "127.0.0.1", "--port", str(port)]
    variables = local_environment(tmp_path / "data") | {"MODELKEEP_PUBLIC_URL": f"http://127.0.0.1:{port}"}
    with serving([EXECUTABLE, *options], variables, port=port, log=tmp_path / "log") as server, ExitStack() as stack:
        server.wait("/readyz")
        grown = 0
        for count in (60, 360):  # the first are not counted: they bring threads and their arenas
            signed = uploads(server, count)
            before = resident(server)
            for each in signed:
                stack.enter_context(stalled_upload(each["url"], each["headers"]))
            wait_until_read(port)
            grown = resident(server) - before
        assert 16 * KIB < grown / count < LIMIT
