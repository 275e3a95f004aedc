"""A command that is interrupted ends at once, and the same command goes on where it stopped."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from tests.support.faults.network import sleeps
from tests.support.faults.proxy import Proxy
from tests.support.processes.cli import Cli

Write = Callable[..., Path]

GOES_ON = "Interrupted; the same command goes on where it stopped."


def _wait_until_asked(proxy: Proxy, method: str, path: str) -> None:
    deadline = time.monotonic() + 30
    while not proxy.asked(method, path):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _end(process: "Popen[str]", number: signal.Signals) -> tuple[int, list[str], list[str]]:
    """Send a signal; what was said by then, within the two seconds that a person waits."""
    process.send_signal(number)
    out, err = process.communicate(timeout=2)
    return process.returncode, out.splitlines(), err.splitlines()


def test_an_interrupted_upload_goes_on(proxy: Proxy, model: str, write: Write) -> None:
    cli, source = Cli(proxy.url), write(**{"a.bin": 1000, "b.bin": 1000})
    proxy.when("PUT", "a.bin", sleeps(20))
    process = cli.start("register", model, source)
    _wait_until_asked(proxy, "PUT", "a.bin")
    _wait_until_asked(proxy, "PUT", "b.bin")
    time.sleep(0.2)
    status, out, err = _end(process, signal.SIGINT)
    assert (status, out, err[-1]) == (130, [], GOES_ON)
    proxy.reset()
    assert cli.does("register", model, source) == ["1"]
    assert [request.path.rpartition("/")[2] for request in proxy.asked("PUT", "/local-store/")] == ["a.bin"]


def test_an_interrupted_download_goes_on(proxy: Proxy, model: str, write: Write, tmp_path: Path) -> None:
    cli = Cli(proxy.url)
    cli.does("register", model, write(1000), "--promote", "production")
    proxy.when("GET", "/local-store/", sleeps(20))
    process = cli.start("download", model, "--dest", tmp_path / "there")
    _wait_until_asked(proxy, "GET", "/local-store/")
    status, out, err = _end(process, signal.SIGINT)
    assert (status, out, err[-1]) == (130, [], GOES_ON)
    proxy.reset()
    assert cli.does("download", model, "--dest", tmp_path / "there") == [str(tmp_path / "there" / "model.pt")]


def test_other_commands_say_no_more_than_that(proxy: Proxy, model: str) -> None:
    proxy.when("GET", ".*", sleeps(20))
    process = Cli(proxy.url).start("show", model)
    _wait_until_asked(proxy, "GET", model)
    assert _end(process, signal.SIGINT) == (130, [], ["Interrupted."])


def test_sigterm_ends_a_transfer_as_well(proxy: Proxy, model: str, write: Write) -> None:
    proxy.when("PUT", "/local-store/", sleeps(20))
    process = Cli(proxy.url).start("register", model, write(1000))
    _wait_until_asked(proxy, "PUT", "/local-store/")
    assert _end(process, signal.SIGTERM)[0] == -signal.SIGTERM


@pytest.mark.parametrize("output", ["human", "json"])
def test_a_reader_that_has_seen_enough_is_no_failure(dev_url: str, model: str, write: Write, output: str) -> None:
    cli = Cli(dev_url)
    cli.does("register", model, write(10), "--description", "x" * 4000)
    cli.does("register", model, write(10), "--description", "x" * 4000)
    process = cli.start("-o", output, "list", model)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(30) == 1
