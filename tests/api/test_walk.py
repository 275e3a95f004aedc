"""The main job, from registration to a container that starts."""

from tests.support.api import Api


async def test_a_model_goes_from_registration_to_production_and_back(api: Api, model: str) -> None:
    first = {"model.pt": b"first weights", "config/tokenizer.json": b"{}", "README.md": b""}
    second = {"model.pt": b"second weights"}

    assert await api.register(model, first, metrics={"accuracy": 0.967, "f1": 0.941}, description="Jan 2026") == 1
    assert await api.register(model, second, framework="onnx") == 2

    await api.promote(model, 1)
    assert await api.fetch(model) == first

    await api.promote(model, 2, expected_production=1)
    assert await api.fetch(model) == second
    versions = (await api.ask("GET", f"/{model}/versions"))["items"]
    assert [(version["version"], version["stage"]) for version in versions] == [(2, "production"), (1, "archived")]

    await api.ask("POST", f"/{model}/rollback", {"expected_production": 2})
    assert await api.fetch(model) == first
    assert (await api.ask("GET", f"/{model}"))["production_version"] == 1


async def test_a_large_artifact_goes_up_in_parts(api: Api, model: str) -> None:
    files = {"weights.bin": b"\x5a" * (65 * 1024 * 1024), "config.json": b"{}"}
    begun = await api.begin(model, files, multipart=True)
    parts = {artifact["path"]: artifact["multipart"]["part_count"] for artifact in begun["artifacts"]}
    assert parts == {"weights.bin": 2, "config.json": 1}

    await api.upload(begun, files)
    await api.complete(model, 1)
    assert await api.fetch(model, "1") == files
