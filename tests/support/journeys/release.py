"""The main job over real sockets, as a pipeline and a container do it: only URLs, no knowledge of the inside."""

import hashlib
from collections.abc import Mapping
from typing import Any, Self

import httpx


class Walk:
    """A caller of a running service, with a token if it asks for one. Answers are asserted to be the expected ones."""

    def __init__(self, url: str, *, token: str | None = None) -> None:
        self._credentials = {"authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def ask(self, method: str, path: str, body: Any = None, *, status: int = 200, key: str | None = None) -> Any:
        headers = {"idempotency-key": key} if key else {}
        answer = self.http.request(method, f"/v1/models{path}", json=body, headers=self._credentials | headers)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def register(self, model: str, files: Mapping[str, bytes], **fields: Any) -> tuple[int, list[str]]:
        """Register a version in single PUTs; return its number and the URLs that were handed out."""
        declared = [
            {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for path, content in files.items()
        ]
        begun = self.ask("POST", f"/{model}/versions", {"artifacts": declared, **fields}, status=201)
        urls = []
        for artifact in begun["artifacts"]:
            signed = artifact["upload"]
            answer = self.http.put(signed["url"], headers=signed["headers"], content=files[artifact["path"]])
            assert answer.status_code == 200, answer.text
            urls.append(signed["url"])
        self.ask("POST", f"/{model}/versions/{begun['version']}/complete")
        return int(begun["version"]), urls

    def promote(self, model: str, number: int, **fields: Any) -> Any:
        return self.ask("PUT", f"/{model}/versions/{number}/stage", {"stage": "production", **fields})

    def fetch(self, model: str, ref: str = "production") -> tuple[dict[str, bytes], list[str]]:
        """Download a version; return its files and the URLs that led to them."""
        found = self.ask("GET", f"/{model}/versions/{ref}/download")
        files = {}
        for artifact in found["artifacts"]:
            answer = self.http.get(artifact["url"], headers=artifact["headers"])
            assert answer.status_code == 200, answer.text
            assert artifact["sha256"] in {None, hashlib.sha256(answer.content).hexdigest()}
            files[artifact["path"]] = answer.content
        return files, [artifact["url"] for artifact in found["artifacts"]]
