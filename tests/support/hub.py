"""Hugging Face clients, as the face meets them: their requests in this process, and the clients themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

FILES: Final[Mapping[str, bytes]] = {
    "config.json": b'{"model_type": "bert"}',
    "empty.txt": b"",
    "onnx/deep/model.onnx": b"onnx",
    "weights/a \u00e9+#%&.pt": b"weights" * 100,
}


@dataclass(frozen=True)
class Book:
    """A model with a version in each stage, as `/v1` describes them by number."""

    model: str
    versions: Mapping[int, Any]

    @property
    def repository(self) -> str:
        return f"registry/{self.model}"

    def commit(self, number: int) -> str:
        return str(self.versions[number]["commit"])

    def sha256(self, number: int, path: str) -> str:
        (found,) = [each for each in self.versions[number]["artifacts"] if each["path"] == path]
        return str(found["sha256"])


class Hub:
    """The face, asked for paths below `/hf`."""

    def __init__(self, http: httpx.AsyncClient, *, token: str | None = None) -> None:
        self.http = http
        self._credentials = {"authorization": f"Bearer {token}"} if token else {}

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {**self._credentials, **(options.pop("headers", None) or {})}
        return await self.http.request(method, f"/hf{path}", headers=headers, **options)

    async def ask(self, method: str, path: str, *, status: int = 200, **options: Any) -> httpx.Response:
        """Expect a status."""
        answer = await self.request(method, path, **options)
        assert answer.status_code == status, (answer.status_code, answer.headers, answer.text)
        return answer

    async def read(self, path: str, **options: Any) -> Any:
        """The JSON of a GET."""
        return (await self.ask("GET", path, **options)).json()

    async def refused(self, method: str, path: str, status: int, code: str, **options: Any) -> httpx.Response:
        """Expect an error in the form of the Hub."""
        answer = await self.ask(method, path, status=status, **options)
        check_hub_error(answer, code)
        return answer


def check_hub_error(answer: httpx.Response, code: str) -> None:
    """Hold an answer against the one shape that errors have below `/hf`."""
    message = answer.headers["x-error-message"]
    assert answer.headers["x-error-code"] == code, dict(answer.headers)
    assert message.isascii()
    assert message.isprintable()
    assert ("retry-after" in answer.headers) == (answer.status_code in {429, 503})
    assert ("x-repo-commit" in answer.headers) == (code == "EntryNotFound")
    if answer.request.method == "HEAD":
        assert "content-type" not in answer.headers
        assert answer.content == b""
    else:
        assert answer.headers["content-type"] == "application/json"
        assert set(answer.json()) == {"error"}
        assert answer.json()["error"].encode("ascii", "backslashreplace").decode().split() == message.split()
