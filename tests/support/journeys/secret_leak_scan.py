"""A whole walk through a service, with a secret wherever a caller can put one, and all that can go wrong."""

import base64
import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from modelkeep.admin import access
from modelkeep.bootstrap import open_storage
from modelkeep.domain.access.tokens import ApiTokenSecret, parse_secret
from modelkeep.repositories.tokens import Tokens
from modelkeep.settings import Settings
from tests.support import builders
from tests.support.access import token_for
from tests.support.api import Api
from tests.support.issuers import IssuerServer, signing_key
from tests.support.journeys.canaries import secrets_of

MODEL = "canary-model"
PASSWORD = "a password"
"""A secret of no form, which nothing could recognise: it must not get anywhere at all."""

FILES = {"model.pt": b"weights", "config.json": b"{}"}


@dataclass
class Shown:
    """What callers show: each credential by its name, and the status of an answer to a reader who shows it."""

    credentials: dict[str, tuple[str, int]]

    def canaries(self) -> dict[str, str]:
        """Of a registry token the part that the registry does not keep; of others payload and signature."""
        found: dict[str, str] = {}
        for name, (text, _) in self.credentials.items():
            parts = text.split("_") if text.startswith("mr_") else [text] if name == PASSWORD else text.split(".")[1:]
            found |= {f"{name} {number}": part for number, part in enumerate(parts) if len(part) > 40}
        return found


async def tokens(settings: Settings) -> Shown:
    """Registry tokens, good ones and those that admit nobody."""
    good = await token_for(settings, allow=["admin"])
    poor = await token_for(settings, allow=["reader"], models=["other-*"])
    revoked = await token_for(settings, allow=["admin"])
    known = parse_secret(good)
    assert known is not None
    await access.revoke_token(settings, revoked.split("_")[1])
    expired = builders.credential()
    async with open_storage(settings) as (table, _):
        await Tokens(table).add(builders.token(expired, expires_at=datetime.now(UTC) - timedelta(minutes=1)))
    mistyped = builders.credential().text
    return Shown(
        {
            "a good token": (good, 200),
            "a token for other models": (poor, 404),
            "a wrong secret": (ApiTokenSecret(known.id, builders.credential().secret).text, 401),
            "an expired token": (expired.text, 401),
            "a revoked token": (revoked, 401),
            "a mistyped token": (f"{mistyped[:-1]}{'0' if mistyped[-1] != '0' else '1'}", 401),
            "a token cut short": (builders.credential().text.rpartition("_")[0], 401),
            PASSWORD: (secrets.token_hex(32), 401),
        }
    )


def identities(issuer: IssuerServer) -> Shown:
    """Tokens of an issuer."""
    header, payload, _ = issuer.token().split(".")
    other = issuer.token().rpartition(".")[2]
    stranger = signing_key(issuer.key.algorithm, "stranger")
    return Shown(
        {
            "a good identity": (issuer.token(), 200),
            "an identity without a rule": (issuer.token(repository_id="1"), 403),
            "a wrong signature": (f"{header}.{payload}.{other}", 401),
            "a wrong audience": (issuer.token(aud="https://elsewhere.example"), 401),
            "an expired identity": (issuer.token(iat=1_700_000_000, nbf=1_700_000_000, exp=1_700_000_600), 401),
            "an unknown key": (issuer.token(key=stranger), 401),
            "an identity cut short": (issuer.token().rpartition(".")[0], 401),
        }
    )


@dataclass
class CanaryWalk:
    """A caller who notes all that must be clean of what it gets, and what it must be clean of."""

    http: httpx.AsyncClient
    shown: Shown
    secrets: dict[str, str] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.good = self.shown.credentials["a good token"][0]
        self.api = Api(self.http, token=self.good)
        self.secrets |= self.shown.canaries()

    async def ask(self, method: str, path: str, *, token: str | None = None, **options: Any) -> httpx.Response:
        """Ask the service, and keep a refusal and every header."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        headers |= options.pop("headers", {})
        answer = await self.http.request(method, path, headers=headers, **options)
        self.statuses.add(answer.status_code)
        told = {name: value for name, value in answer.headers.items() if name != "location"}
        self.refusals.append(json.dumps(told) + (answer.text if answer.is_error else ""))
        return answer

    async def go(self) -> None:
        """All of it, but what a service cannot be brought to from outside."""
        await self._register()
        await self._show_each()
        await self._put_everywhere()
        await self._mistake()

    async def _register(self) -> None:
        begun = await self.api.begin(MODEL, FILES, key="run-1")
        status = await self.api.ask("GET", f"/{MODEL}/versions/1/upload")
        await self.api.upload(begun, FILES)
        await self.api.complete(MODEL, 1)
        await self.api.promote(MODEL, 1)
        assert await self.api.fetch(MODEL) == FILES
        found = await self.api.download(MODEL)
        redirect = await self.ask("GET", f"/v1/models/{MODEL}/versions/1/artifacts/model.pt", token=self.good)
        urls = [artifact["upload"]["url"] for artifact in (*begun["artifacts"], *status["artifacts"])]
        urls += [*(artifact["url"] for artifact in found["artifacts"]), redirect.headers["location"]]
        for number, url in enumerate(urls):
            signed = secrets_of(url)
            assert signed
            self.secrets |= {f"{name} of URL {number}": secret for name, secret in signed.items()}
            path, _, query = url.partition("?")
            await self.http.request("DELETE", url)
            await self.http.get(f"{url}0")
            await self.ask("GET", f"/v1/models/{MODEL}?{query}", token=self.good)
            await self.ask("GET", f"/local-store/{path.rpartition('/')[2]}?{query}")
            await self.ask("GET", f"/nowhere?{query}")

    async def _show_each(self) -> None:
        for name, (text, status) in self.shown.credentials.items():
            answer = await self.ask("GET", f"/v1/models/{MODEL}", token=text)
            assert answer.status_code == status, (name, answer.text)
            exchanged = await self.ask("POST", "/v1/auth/token", token=text)
            if exchanged.is_success:
                got = exchanged.json()["access_token"]
                self.secrets[f"what {name} was exchanged for"] = got.split("_")[2]
                assert (await self.ask("GET", f"/v1/models/{MODEL}", token=got)).status_code == 200
            await self.ask("PUT", f"/v1/models/{MODEL}/aliases/champion", token=text, json={"version": 7})

    async def _put_everywhere(self) -> None:
        """Where no secret belongs, and where somebody will put one one day."""
        path, body = f"/v1/models/{MODEL}", {"artifacts": [{"path": "a", "size": 1, "sha256": "9f" * 32}]}
        for kind, (text, _) in self.shown.credentials.items():
            basic = base64.b64encode(f"ci:{text}".encode()).decode()
            for name in ("user-agent", "referer", "cookie", "x-api-key", "traceparent", "tracestate"):
                await self.ask("GET", path, token=self.good, headers={name: text})
            await self.ask("GET", path, headers={"authorization": f"Basic {basic}"})
            await self.ask("GET", path, headers={"authorization": text})
            for query in ("access_token", "cursor", "limit", "stage", "prefix"):
                await self.ask("GET", f"{path}/versions", token=self.good, params={query: text})
            headers = {"idempotency-key": text} | ({} if kind == PASSWORD else {"x-request-id": text})
            await self.ask("POST", f"{path}/versions", token=self.good, headers=headers, json=body)
            for place in ("/v1/models/{}", f"{path}/versions/{{}}", "/v1/tokens/{}") if kind != PASSWORD else ():
                await self.ask("GET", place.format(text), token=self.good)
                await self.ask("DELETE", place.format(text), token=self.good)
            for bad in (
                {"token": text},
                {"expires_at": text},
                {"allow": text},
                {"allow": [text], "models": ["*"]},
                text,
            ):
                await self.ask("POST", "/v1/tokens", token=self.good, json=bad)
                await self.ask("POST", "/v1/auth/token", token=self.good, json=bad)
            for bad in ({"token": text}, {"token": text, "action": text}, {"token": text, "action": "model.read"}):
                await self.ask("POST", "/v1/access/explain", token=self.good, json=bad)
            await self.ask("PUT", "/v1/access", token=self.good, json={"rules": [{"id": text}]})
            await self.ask("POST", "/v1/tokens", token=self.good, content=f'{{"token": "{text}')

    async def _mistake(self) -> None:
        made = {"principal": "made", "allow": ["reader"], "models": ["*"]}
        soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        answer = await self.ask("POST", "/v1/tokens", token=self.good, json={**made, "expires_at": soon})
        self.secrets["a token made over HTTP"] = answer.json()["token"].split("_")[2]
        await self.ask("GET", "/v1/tokens", token=self.good)
        await self.ask("GET", "/metrics")
        for _ in range(100):
            if (await self.ask("GET", "/v1/models", token=builders.credential().text)).status_code == 429:
                return
        raise AssertionError("failed logins are not limited")
