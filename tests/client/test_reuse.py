"""A second version sends what has changed, and says what is reused."""

import json
from collections.abc import Callable
from pathlib import Path

from modelkeep.client import AsyncRegistryClient
from tests.support.faults.network import problem
from tests.support.faults.proxy import Proxy
from tests.support.processes.cli import Cli

Write = Callable[..., Path]


def test_one_changed_file_of_many_is_sent(proxy: Proxy, model: str, write: Write) -> None:
    cli = Cli(proxy.url)
    folder = write(**{f"{number}.bin": 100 + number for number in range(20)})
    cli.does("register", model, folder)
    sent = len(proxy.asked("PUT", r"^/local-store/"))
    (folder / "7.bin").write_bytes(b"changed")
    said = cli("register", model, folder)
    assert (said.status, said.out) == (0, ["2"])
    assert "19 of 20 files are those of v1." in said.err
    assert not [line for line in said.err if "Resuming" in line]
    assert [line for line in said.err if "Uploading" in line] == ["Uploading 1 file, 7 B"]
    assert len(proxy.asked("PUT", r"^/local-store/")) == sent + 1 == 21
    repeated = cli("register", model, folder)
    assert (repeated.out, "20 of 20 files are those of v2." in repeated.err) == (["3"], True)
    assert not [line for line in repeated.err if "Uploading" in line]


async def test_bytes_that_storage_has_lost_are_sent_after_all(proxy: Proxy, model: str, write: Write) -> None:
    source = write(100)
    async with AsyncRegistryClient(proxy.url) as registry:
        await registry.register(model, source)
        lost = problem(422, "reused_object_changed", path=source.name, reused_from=1)
        proxy.when("POST", r"/complete$", lost, times=1)
        assert (await registry.register(model, source)).version == 3
    bodies = [json.loads(begun.body) for begun in proxy.asked("POST", r"/versions$")]
    assert [body.get("reuse") for body in bodies[1:]] == [None, False]
    assert len(proxy.asked("PUT", r"^/local-store/")) == 2
