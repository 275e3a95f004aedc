"""Two versions side by side."""

import pytest

from tests.support.api import PRODUCTION, STAGING, TRASHED, Api, Shelf


async def test_a_comparison_has_all_that_either_version_has(api: Api, model: str) -> None:
    await api.register(
        model,
        {"same.json": b"{}", "weights.bin": b"old weights", "gone.txt": b"gone"},
        metrics={"f1": 0.1, "loss": 2.5},
        tags={"team": "a", "dataset": "2026-02"},
    )
    await api.register(
        model,
        {"same.json": b"{}", "weights.bin": b"new", "vocabulary.txt": b"added"},
        metrics={"f1": 0.3, "auc": 0.5},
        tags={"team": "a", "dataset": "2026-03", "run": "7"},
    )
    await api.promote(model, 1)
    found = await api.ask("GET", f"/{model}/compare?a=production&b=2")
    assert found == {
        "model": model,
        "a": 1,
        "b": 2,
        "metrics": [
            {"name": "auc", "a": None, "b": 0.5, "difference": None},
            {"name": "f1", "a": 0.1, "b": 0.3, "difference": 0.2},
            {"name": "loss", "a": 2.5, "b": None, "difference": None},
        ],
        "tags": [
            {"name": "dataset", "a": "2026-02", "b": "2026-03"},
            {"name": "run", "a": None, "b": "7"},
            {"name": "team", "a": "a", "b": "a"},
        ],
        "files": [
            {"path": "gone.txt", "state": "removed", "a_size": 4, "b_size": None},
            {"path": "same.json", "state": "same", "a_size": 2, "b_size": 2},
            {"path": "vocabulary.txt", "state": "added", "a_size": None, "b_size": 5},
            {"path": "weights.bin", "state": "changed", "a_size": 11, "b_size": 3},
        ],
    }
    turned = await api.ask("GET", f"/{model}/compare?a=v2&b=v1")
    assert [metric["difference"] for metric in turned["metrics"]] == [None, -0.2, None]
    assert [file["state"] for file in turned["files"]] == ["added", "same", "removed", "changed"]


@pytest.mark.parametrize("query", [f"a={PRODUCTION}&b={TRASHED}", f"a=nobody&b={STAGING}"])
async def test_both_versions_have_to_be_there(api: Api, shelf: Shelf, query: str) -> None:
    await api.problem("GET", f"/{shelf.model}/compare?{query}", status=404, code="version_not_found")


@pytest.mark.parametrize("query", ["", "a=1", "b=1", "a=archived&b=1", "a=1&b=0"])
async def test_two_refs_are_needed(api: Api, shelf: Shelf, query: str) -> None:
    await api.problem("GET", f"/{shelf.model}/compare?{query}", status=422, code="invalid_request")
