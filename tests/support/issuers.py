"""Issuers of identities on loopback: real HTTP servers that publish real keys and sign with them.

`with issuer_server(IssuerKind.GITHUB) as server` gives one whose `issuer` is what a registry would be configured with,
and whose `token()` is what a job would hold. Its claims are those that the real one sends.
"""

import base64
import hashlib
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import AllowedPrivateKeys, get_default_algorithms

from modelkeep.domain.access.trust import Issuer, IssuerKind
from modelkeep.domain.values import UNSET
from tests.support.faults.network import passes
from tests.support.faults.proxy import Fault, Proxy, Reply, Request

AUDIENCE: Final = "https://models.example"
SECOND_AUDIENCE: Final = "modelkeep"
DISCOVERY: Final = "/.well-known/openid-configuration"
JWKS: Final = "/keys/jwks"

Object = dict[str, Any]


@dataclass(frozen=True)
class SigningKey:
    """A private key under an id; `algorithm` is what it signs with. It is made at its first use, once in a session."""

    id: str
    algorithm: str
    name: str
    bits: int = 2048

    @property
    def private(self) -> AllowedPrivateKeys:
        family = "RSA" if self.algorithm[:2] in {"RS", "PS"} else self.algorithm
        return _private(family, self.name, self.bits)

    def jwk(self, *, private: bool = False, **changes: Any) -> Object:
        """The public half, as issuers publish it; a change to `UNSET` leaves a member out."""
        published = self.private if private else self.private.public_key()
        members: Object = get_default_algorithms()[self.algorithm].to_jwk(published, as_dict=True)
        members.pop("key_ops", None)
        return changed({**members, "kid": self.id, "use": "sig", "alg": self.algorithm}, changes)

    def der(self) -> bytes:
        """The public half as X.509 writes it."""
        return self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def pem(self) -> bytes:
        """The same, as text."""
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, text: bytes) -> bytes:
        """A signature in the form of JSON Web Signatures."""
        signature: bytes = get_default_algorithms()[self.algorithm].sign(text, self.private)
        return signature


def signing_key(algorithm: str, name: str = "first", *, bits: int = 2048) -> SigningKey:
    """The key of this name."""
    return SigningKey(f"{name}-{algorithm.lower()}", algorithm, name, bits)


@cache
def _private(family: str, name: str, bits: int) -> AllowedPrivateKeys:
    match family:
        case "RSA":
            return rsa.generate_private_key(65537, bits)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ES384":
            return ec.generate_private_key(ec.SECP384R1())
        case "ES512":
            return ec.generate_private_key(ec.SECP521R1())
        case _:
            return Ed25519PrivateKey.generate()


def part(content: bytes | str | Object) -> str:
    """One part of a token: base64url without padding, of JSON if it is an object."""
    text = json.dumps(content, separators=(",", ":")) if isinstance(content, dict) else content
    return base64.urlsafe_b64encode(text.encode() if isinstance(text, str) else text).decode().rstrip("=")


def signed(header: str, payload: str, sign: Callable[[bytes], bytes]) -> str:
    """A token of two parts as they are, and a signature over them."""
    text = f"{header}.{payload}"
    return f"{text}.{part(sign(text.encode()))}"


def changed(members: Mapping[str, Any], changes: Mapping[str, Any]) -> Object:
    """The members with other values; those that change to `UNSET` are gone."""
    return {name: value for name, value in {**members, **changes}.items() if value is not UNSET}


class IssuerServer:
    """An issuer that is up: it publishes `keys`, and signs with `key`; both may be set."""

    def __init__(self, kind: IssuerKind, proxy: Proxy, url: str, ca_file: Path | None) -> None:
        self._proxy = proxy
        self.kind = kind
        self.url = url
        self.key = signing_key(_ALGORITHMS[kind][0])
        self.keys: list[Object] = [self.key.jwk()]
        self.issuer = Issuer(
            name=kind.value,
            kind=kind,
            url=url,
            audiences=frozenset({AUDIENCE, SECOND_AUDIENCE}),
            algorithms=_ALGORITHMS[kind],
            ca_file=ca_file,
        )
        self._fault: Fault = passes
        self._faulty = ""
        proxy.when(".*", "", lambda request, _: self._reply(request))

    def trusted(self, url: str) -> Issuer | None:
        """What a registry that trusts this issuer alone answers to an `iss`."""
        return self.issuer if url == self.url else None

    def claims(self, **changes: Any) -> Object:
        """What the issuer says of a job or pod, with other values for some claims; `UNSET` leaves one out."""
        now = int(time.time())
        times = {"iat": now, "nbf": now, "exp": now + 600}
        return changed({**_CLAIMS[self.kind], **times, "iss": self.url, "jti": str(uuid4())}, changes)

    def header(self, key: SigningKey | None = None, **changes: Any) -> Object:
        """The header that belongs to a token of this kind."""
        signer = key or self.key
        return changed({"alg": signer.algorithm, "kid": signer.id, **_header(self.kind, signer)}, changes)

    def token(self, *, key: SigningKey | None = None, headers: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """A token, good unless something is changed."""
        return self.signed(self.claims(**claims), self.header(key, **headers or {}), key)

    def signed(self, payload: Object | str | bytes, header: Object | str | bytes, key: SigningKey | None = None) -> str:
        """A token of any payload and header, signed as if they were good."""
        return signed(part(header), part(payload), (key or self.key).sign)

    def rotate(self) -> SigningKey:
        """Sign with a new key from now on, and publish it alone."""
        self.key = signing_key(self.key.algorithm, f"after-{self.key.name}")
        self.keys = [self.key.jwk()]
        return self.key

    def break_down(self, fault: Fault, *, at: str = "") -> None:
        """Let the requests whose path has `at` in it meet a fault, from now on."""
        self._fault, self._faulty = fault, at

    def mend(self) -> None:
        """Serve as it should be."""
        self.break_down(passes)

    def asked(self, path: str = JWKS) -> int:
        """How often this was asked for, the faulty times included."""
        return len(self.requests(path))

    def requests(self, path: str = JWKS) -> list[Request]:
        """What was asked, in order."""
        return self._proxy.asked("GET", path)

    def _reply(self, request: Request) -> Reply:
        fault = self._fault if self._faulty in request.path else passes
        return fault(request, self._answer)

    def _answer(self, request: Request) -> Reply:
        contents = {
            DISCOVERY: {"issuer": self.url, "jwks_uri": self.url + JWKS, "response_types_supported": ["id_token"]},
            JWKS: {"keys": self.keys},
        }
        if request.path not in contents:
            return Reply(status=404)
        body = json.dumps(contents[request.path]).encode()
        return Reply(status=200, headers={"content-type": "application/json"}, body=body)


@contextmanager
def issuer_server(
    kind: IssuerKind, *, tls: ssl.SSLContext | None = None, ca_file: Path | None = None
) -> Iterator[IssuerServer]:
    """Serve until the block ends; after that, nobody listens there any more."""
    proxy = Proxy()
    if tls is not None:
        proxy._server.socket = tls.wrap_socket(proxy._server.socket, server_side=True)
    with proxy.running():
        yield IssuerServer(kind, proxy, proxy.url if tls is None else f"https://127.0.0.1:{proxy.port}", ca_file)


def _header(kind: IssuerKind, key: SigningKey) -> Object:
    """GitHub names a certificate that nobody needs; Kubernetes says no type."""
    thumbprint = base64.urlsafe_b64encode(hashlib.sha1(key.der()).digest()).decode().rstrip("=")
    typed = {} if kind is IssuerKind.KUBERNETES else {"typ": "JWT"}
    return typed | ({"x5t": thumbprint} if kind is IssuerKind.GITHUB else {})


_ALGORITHMS: Final[Mapping[IssuerKind, tuple[str, ...]]] = {
    IssuerKind.GITHUB: ("RS256",),
    IssuerKind.GITLAB: ("RS256",),
    IssuerKind.KUBERNETES: ("RS256",),
    IssuerKind.AWS: ("ES384", "RS256"),
    IssuerKind.OIDC: ("EdDSA", "ES256", "RS256"),
}

_CLAIMS: Final[Mapping[IssuerKind, Object]] = {
    IssuerKind.GITHUB: {
        "aud": AUDIENCE,
        "sub": "repo:acme@9919/fraud@740216803:environment:production",
        "actor": "mona",
        "actor_id": "583231",
        "base_ref": "",
        "environment": "production",
        "event_name": "push",
        "head_ref": "",
        "job_workflow_ref": "acme/fraud/.github/workflows/train.yml@refs/heads/main",
        "job_workflow_sha": "1f3e0c5a6b7d8e9f00112233445566778899aabb",
        "ref": "refs/heads/main",
        "ref_protected": "true",
        "ref_type": "branch",
        "repository": "acme/fraud",
        "repository_id": "740216803",
        "repository_owner": "acme",
        "repository_owner_id": "9919",
        "repository_visibility": "private",
        "run_attempt": "1",
        "run_id": "22259804324",
        "run_number": "42",
        "runner_environment": "github-hosted",
        "sha": "1f3e0c5a6b7d8e9f00112233445566778899aabb",
        "workflow": "train",
        "workflow_ref": "acme/fraud/.github/workflows/train.yml@refs/heads/main",
        "workflow_sha": "1f3e0c5a6b7d8e9f00112233445566778899aabb",
    },
    IssuerKind.GITLAB: {
        "aud": AUDIENCE,
        "sub": "project_path:acme/fraud:ref_type:branch:ref:main",
        "ci_config_ref_uri": "gitlab.example/acme/fraud//.gitlab-ci.yml@refs/heads/main",
        "ci_config_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
        "deployment_tier": "production",
        "environment": "production",
        "environment_protected": "true",
        "job_id": "5516000001",
        "namespace_id": "12885807",
        "namespace_path": "acme",
        "pipeline_id": "1069000002",
        "pipeline_source": "push",
        "project_id": "53804090",
        "project_path": "acme/fraud",
        "project_visibility": "private",
        "ref": "main",
        "ref_path": "refs/heads/main",
        "ref_protected": "true",
        "ref_type": "branch",
        "runner_environment": "gitlab-hosted",
        "runner_id": 12270837,
        "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
        "user_access_level": "maintainer",
        "user_email": "ada@acme.example",
        "user_id": "10684552",
        "user_login": "ada",
    },
    IssuerKind.KUBERNETES: {
        "aud": [AUDIENCE],
        "sub": "system:serviceaccount:serving:fraud",
        "kubernetes.io": {
            "namespace": "serving",
            "node": {"name": "node-7", "uid": "5ee5a1a4-7c7a-4b5b-9d4b-0a5e6f3c2b1d"},
            "pod": {"name": "fraud-6c9d8b-x2k4p", "uid": "900f80ed-bafe-49f0-9ae2-c5f0a3ac2cbe"},
            "serviceaccount": {"name": "fraud", "uid": "a709ef71-30e2-489a-bd19-ade97031b9db"},
        },
    },
    IssuerKind.AWS: {
        "aud": AUDIENCE,
        "sub": "arn:aws:iam::123456789012:role/fraud-serving",
        "https://sts.amazonaws.com/": {
            "aws_account": "123456789012",
            "source_region": "eu-central-1",
            "org_id": "o-abc1234567",
            "ou_path": ["o-abc1234567/r-ab12/ou-ab12-11111111/"],
            "principal_tags": {"team": "risk"},
        },
    },
    IssuerKind.OIDC: {"aud": AUDIENCE, "sub": "https://ci.example/job/fraud/job/train", "build_number": "314"},
}
"""What each kind says of one of its jobs or pods.

https://docs.github.com/en/actions/reference/security/oidc
https://docs.gitlab.com/ci/secrets/id_token_authentication
https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound_token_claims.html
"""
