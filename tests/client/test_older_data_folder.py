"""A data folder of an earlier release, in which models lie under their own names: nothing needs to be done by hand."""

from collections.abc import Callable
from pathlib import Path

from modelkeep.client import RegistryClient
from tests.support.backends import local_environment
from tests.support.observed import observed_service
from tests.support.programs import Said, operate
from tests.support.stores import as_earlier_releases_did

MODELS = ("Fraud", "fraud", "FRAUD")


def test_an_older_folder_is_served_checked_swept_and_copied(tmp_path: Path, write: Callable[..., Path]) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    files = {model: write(**{"a.bin": 1000, "Sub/B.bin": 1000}, folder=f"run-{model}") for model in MODELS}
    with observed_service(data, {}) as service, RegistryClient(service.url) as registry:
        for model in MODELS:
            registry.register(model, files[model])
    as_earlier_releases_did(data)
    with observed_service(data, {}) as service, RegistryClient(service.url) as registry:
        for model in MODELS:
            found = registry.download(model, 1, dest=tmp_path / "serving" / files[model].name).path
            assert (found / "Sub" / "B.bin").read_bytes() == (files[model] / "Sub" / "B.bin").read_bytes()
    as_earlier_releases_did(data)
    variables = local_environment(data)
    assert operate(variables, "check") == Said(0, ["clean"], [])
    assert operate(variables, "sweep").out == ["0 thing(s) swept"]
    as_earlier_releases_did(data)
    moved = operate({}, "migrate", "--from", f"local:{data}", "--to", f"local:{copy}")
    assert (moved.status, moved.err) == (0, [])
    assert operate(local_environment(copy), "check") == Said(0, ["clean"], [])
    kept = {path.name for path in (copy / "objects" / "models").iterdir()}
    assert kept == {"!fraud", "fraud", "!f!r!a!u!d"}
