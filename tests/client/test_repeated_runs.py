"""A run of a pipeline that runs again, with a key that it derives or is given."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from modelkeep.client import AsyncRegistryClient, registrar, uploader
from modelkeep.domain.errors import InvalidRequestError, UploadNotFoundError
from tests.support.processes.cli import Cli

Write = Callable[..., Path]

RUN = {"GITHUB_RUN_ID": "8841", "GITHUB_JOB": "train"}


@pytest.fixture
def job(url: str) -> Cli:
    return Cli(url, RUN)


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a registration that ends when its upload has begun."""

    async def lose_power(*_: object) -> None:
        raise OSError(5, "Input/output error")

    def interrupted(job: Cli, *arguments: object) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(uploader.Uploader, "send", lose_power)
            assert job("register", *arguments).status == 1

    return interrupted


def test_a_run_whose_version_was_deleted_registers_anew(job: Cli, model: str, write: Write) -> None:
    source = write(100)
    for number in ("1", "2", "3"):
        assert job.does("register", model, source) == [number]
        assert job.does("register", model, source) == [number], "an attempt at the same run"
        job.does("delete", model, number, "--yes")
    assert job.does("register", model, source) == ["4"]


def test_a_run_whose_upload_was_abandoned_registers_anew(
    job: Cli, model: str, write: Write, interrupted: Callable[..., None]
) -> None:
    source = write(100)
    interrupted(job, model, source)
    assert httpx.delete(f"{job.url}/v1/models/{model}/versions/1/upload", trust_env=False).status_code == 204
    assert job.does("register", model, source) == ["2"]
    assert job.does("register", model, source) == ["2"]


def test_a_run_that_was_interrupted_goes_on_with_the_upload_of_its_renewed_key(
    job: Cli, model: str, write: Write, interrupted: Callable[..., None]
) -> None:
    source = write(100)
    job.does("register", model, source)
    job.does("delete", model, 1, "--yes")
    interrupted(job, model, source)
    assert job.does("register", model, source) == ["2"]


def test_a_version_that_was_restored_is_the_run_s_again(job: Cli, model: str, write: Write) -> None:
    source = write(100)
    job.does("register", model, source)
    job.does("delete", model, 1, "--yes")
    job.does("restore", model, 1)
    assert job.does("register", model, source) == ["1"]


def test_a_key_that_is_given_is_not_renewed(job: Cli, model: str, write: Write) -> None:
    command = ["register", model, write(100), "--idempotency-key", "k"]
    job.does(*command)
    job.does("delete", model, 1, "--yes")
    assert job.refusal(*command)[0] == "upload_not_found"


async def test_a_registry_that_has_lost_every_upload_is_believed_after_some_keys(
    registry: AsyncRegistryClient, model: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[str] = []

    async def lost(*_: object, key: str, **__: object) -> None:
        keys.append(key)
        raise UploadNotFoundError(model, 1)

    monkeypatch.setattr(registry._transport, "change", lost)
    with pytest.raises(UploadNotFoundError):
        await registry.register(model, write(10), idempotency_scope="run 1")
    assert len(set(keys)) == len(keys) == registrar.MAX_RENEWALS


@pytest.mark.parametrize("name", ["idempotency_key", "idempotency_scope"])
async def test_an_empty_key_is_refused(registry: AsyncRegistryClient, model: str, write: Write, name: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"{name}: "):
        await registry.register(model, write(10), **{name: ""})  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="idempotency_key: "):
        await registry.promote(model, 1, idempotency_key="")
