"""How often an issuer is asked for its keys, which answers are taken, and what happens while there is none."""

import asyncio
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from modelkeep.domain.access.trust import Issuer, IssuerKind
from modelkeep.domain.errors import InvalidTokenError, IssuerUnavailableError
from modelkeep.domain.values import UNSET
from modelkeep.identity import discovery
from modelkeep.identity.jwks import MAX_KEYS, read_keys
from modelkeep.identity.verifier import Verifier
from tests.support.faults.network import answers, drops, never_ends, rewrites, sleeps, trickles
from tests.support.faults.proxy import Fault, Forward, Proxy, Reply, Request
from tests.support.issuers import DISCOVERY, JWKS, IssuerServer, issuer_server, signing_key

MINUTE = 60
HOUR = 60 * MINUTE


class Timer:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
def verifier(timer: Timer) -> Verifier:
    return Verifier(timer=timer)


@pytest.fixture
def server() -> Iterator[IssuerServer]:
    with issuer_server(IssuerKind.GITHUB) as server:
        yield server


@pytest.fixture
def elsewhere() -> Iterator[IssuerServer]:
    with issuer_server(IssuerKind.GITHUB) as server:
        yield server


def hostile(server: IssuerServer, number: int = 0) -> str:
    return server.token(headers={"kid": f"nobody-has-{number}"})


async def accepted(verifier: Verifier, server: IssuerServer, token: str | None = None) -> None:
    assert await verifier.verify(token or server.token(), server.trusted)


async def refused(verifier: Verifier, server: IssuerServer, token: str | None = None) -> None:
    with pytest.raises(InvalidTokenError, match="does not publish"):
        await verifier.verify(token or server.token(), server.trusted)


async def undecided(verifier: Verifier, server: IssuerServer, token: str | None = None) -> None:
    with pytest.raises(IssuerUnavailableError):
        await verifier.verify(token or server.token(), server.trusted)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- what is waited for happens in the server's thread
            await asyncio.sleep(0.01)


def after(waiting: Callable[[], object]) -> Fault:
    """The answer comes as it should, once the waiting is over."""

    def fault(request: Request, forward: Forward) -> Reply:
        waiting()
        return forward(request)

    return fault


def a_moment() -> None:
    time.sleep(0.3)


async def test_keys_are_asked_for_once_whatever_the_number_of_tokens(verifier: Verifier, server: IssuerServer) -> None:
    for _ in range(20):
        await accepted(verifier, server)
    await asyncio.to_thread(a_moment)
    assert (server.asked(DISCOVERY), server.asked()) == (1, 1)


async def test_many_first_tokens_at_once_ask_once(verifier: Verifier, server: IssuerServer) -> None:
    server.break_down(after(a_moment), at=JWKS)
    await asyncio.gather(*(accepted(verifier, server) for _ in range(50)))
    assert (server.asked(DISCOVERY), server.asked()) == (1, 1)


async def test_many_tokens_of_a_new_key_at_once_ask_once(verifier: Verifier, server: IssuerServer) -> None:
    await accepted(verifier, server)
    server.rotate()
    server.break_down(after(a_moment), at=JWKS)
    await asyncio.gather(*(accepted(verifier, server) for _ in range(50)))
    assert server.asked() == 2


async def test_many_tokens_at_once_ask_a_dead_issuer_once(verifier: Verifier, server: IssuerServer) -> None:
    server.break_down(answers(500))
    await asyncio.gather(*(undecided(verifier, server) for _ in range(50)))
    assert server.asked(DISCOVERY) == 1


async def test_who_gives_up_waiting_does_not_fail_the_others(verifier: Verifier, server: IssuerServer) -> None:
    server.break_down(after(a_moment), at=JWKS)
    impatient = asyncio.create_task(verifier.verify(server.token(), server.trusted))
    await until(lambda: server.asked() == 1)
    patient = asyncio.create_task(accepted(verifier, server))
    await asyncio.sleep(0)
    impatient.cancel()
    with suppress(asyncio.CancelledError):
        await impatient
    await patient
    assert server.asked() == 1


async def test_an_unknown_key_is_asked_for_once_in_a_minute(
    verifier: Verifier, server: IssuerServer, timer: Timer
) -> None:
    await accepted(verifier, server)
    for number in range(20):
        await refused(verifier, server, hostile(server, number))
    assert server.asked() == 2
    timer.now += MINUTE - 1
    await refused(verifier, server, hostile(server))
    assert server.asked() == 2
    timer.now += 1
    await refused(verifier, server, hostile(server))
    await refused(verifier, server, hostile(server))
    assert server.asked() == 3


async def test_a_new_key_is_found_at_once_and_after_hostile_tokens_within_a_minute(
    verifier: Verifier, server: IssuerServer, timer: Timer
) -> None:
    await refused(verifier, server, hostile(server))
    server.rotate()
    await accepted(verifier, server)
    server.rotate()
    await refused(verifier, server)
    timer.now += MINUTE
    await accepted(verifier, server)


async def test_keys_of_an_hour_are_asked_for_again_while_they_serve(
    verifier: Verifier, server: IssuerServer, timer: Timer
) -> None:
    old = server.token()
    await accepted(verifier, server, old)
    timer.now += HOUR - 1
    await accepted(verifier, server, old)
    await asyncio.to_thread(a_moment)
    assert server.asked() == 1
    timer.now += 1
    server.rotate()
    answering = threading.Event()
    server.break_down(after(answering.wait), at=JWKS)
    for _ in range(20):
        await accepted(verifier, server, old)
    answering.set()
    await accepted(verifier, server)
    assert server.asked() == 2
    await refused(verifier, server, old)


async def test_keys_serve_for_as_long_as_the_issuer_fails(
    verifier: Verifier, server: IssuerServer, timer: Timer
) -> None:
    await accepted(verifier, server)
    server.break_down(answers(500), at=JWKS)
    with capture_logs() as failures:
        for hour in range(1, 6):
            timer.now += HOUR
            await accepted(verifier, server)
            await until(lambda hour=hour: len(failures) == hour)  # type: ignore[misc]
    assert server.asked() == 6


async def test_a_failing_issuer_with_keys_is_asked_once_in_a_minute(
    verifier: Verifier, server: IssuerServer, timer: Timer
) -> None:
    await accepted(verifier, server)
    server.break_down(drops, at=JWKS)
    timer.now += HOUR
    await undecided(verifier, server, hostile(server))
    timer.now += MINUTE - 1
    for number in range(20):
        await accepted(verifier, server)
        await undecided(verifier, server, hostile(server, number))
    assert server.asked() == 2
    server.mend()
    timer.now += 1
    await refused(verifier, server, hostile(server))
    assert server.asked() == 3


async def test_an_issuer_that_never_answered_is_asked_once_in_five_seconds(
    verifier: Verifier, server: IssuerServer, timer: Timer
) -> None:
    server.break_down(answers(503))
    for _ in range(20):
        await undecided(verifier, server)
    assert server.asked(DISCOVERY) == 1
    timer.now += 4
    await undecided(verifier, server)
    assert server.asked(DISCOVERY) == 1
    server.mend()
    timer.now += 1
    await accepted(verifier, server)


async def test_a_failure_is_logged_with_its_reason_and_without_the_token(
    verifier: Verifier, server: IssuerServer
) -> None:
    server.break_down(answers(418))
    token = server.token()
    with capture_logs() as lines:
        await undecided(verifier, server, token)
    [line] = lines
    assert (line["event"], line["issuer"], line["log_level"]) == ("jwks_refresh_failed", "github", "warning")
    assert "418" in line["reason"]
    assert not [part for part in token.split(".") if part in str(line)]


async def test_keys_outlive_the_document_that_names_the_issuer(verifier: Verifier, server: IssuerServer) -> None:
    for audience in ("https://models.example", "another"):
        reread = replace(server.issuer, audiences=frozenset({audience}))
        assert await verifier.verify(server.token(aud=audience), lambda url, reread=reread: reread)  # type: ignore[misc]
    assert server.asked() == 1


async def test_keys_of_another_source_are_others(
    verifier: Verifier, server: IssuerServer, elsewhere: IssuerServer
) -> None:
    await accepted(verifier, server)
    elsewhere.rotate()
    moved = replace(server.issuer, jwks_url=elsewhere.url + JWKS)
    with pytest.raises(InvalidTokenError, match="does not publish"):
        await verifier.verify(server.token(), lambda url: moved)
    assert (elsewhere.asked(DISCOVERY), elsewhere.asked(), server.asked()) == (0, 1, 1)


async def test_a_key_address_in_the_configuration_needs_no_discovery(verifier: Verifier, server: IssuerServer) -> None:
    server.break_down(answers(500), at=DISCOVERY)
    direct = replace(server.issuer, jwks_url=server.url + JWKS)
    assert await verifier.verify(server.token(), lambda url: direct)
    assert server.asked(DISCOVERY) == 0


async def test_an_issuer_below_a_path_is_discovered_there(verifier: Verifier, server: IssuerServer) -> None:
    url = f"{server.url}/realms/ci/"
    document = f'{{"issuer": "{url}", "jwks_uri": "{server.url}{JWKS}"}}'
    server.break_down(answers(200, document), at="/realms/")
    assert await verifier.verify(server.token(iss=url), lambda _: replace(server.issuer, url=url))
    assert server.asked(f"^/realms/ci{DISCOVERY}$") == 1


def changes_discovery(**members: Any) -> Fault:
    return rewrites(
        lambda document: {name: value for name, value in (document | members).items() if value is not UNSET}
    )


@pytest.mark.parametrize(
    "fault",
    [
        changes_discovery(issuer="https://issuer.attacker.example"),
        changes_discovery(issuer=UNSET),
        changes_discovery(issuer=["https://issuer.example"]),
        rewrites(lambda document: document | {"issuer": document["issuer"] + "/"}),
        rewrites(lambda document: document | {"issuer": document["issuer"].upper()}),
        rewrites(lambda document: [document]),
        changes_discovery(jwks_uri=UNSET),
        changes_discovery(jwks_uri=None),
        changes_discovery(jwks_uri=7),
        changes_discovery(jwks_uri=""),
        changes_discovery(jwks_uri="/keys/jwks"),
        changes_discovery(jwks_uri="file:///etc/passwd"),
        changes_discovery(jwks_uri="https://[::1"),
        rewrites(lambda document: document | {"jwks_uri": document["jwks_uri"].replace("127.0.0.1", "0.0.0.0")}),
    ],
)
async def test_discovery_must_speak_of_this_issuer_and_of_an_address(
    verifier: Verifier, server: IssuerServer, fault: Fault
) -> None:
    server.break_down(fault, at=DISCOVERY)
    await undecided(verifier, server)
    assert (server.asked(DISCOVERY), server.asked()) == (1, 0)


@pytest.mark.parametrize("at", [DISCOVERY, JWKS])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(
    verifier: Verifier, server: IssuerServer, elsewhere: IssuerServer, at: str, status: int
) -> None:
    server.break_down(answers(status, location=elsewhere.url + at), at=at)
    await undecided(verifier, server)
    assert elsewhere.asked("") == 0


@pytest.mark.parametrize(
    ("address", "is_taken"),
    [
        ("https://issuer.example/keys", True),
        ("https://10.0.0.1:6443/keys", True),
        ("http://127.0.0.1:8000/keys", True),
        ("http://127.255.0.9/keys", True),
        ("http://[::1]:8000/keys", True),
        ("http://localhost/keys", True),
        ("http://issuer.example/keys", False),
        ("http://localhost.issuer.example/keys", False),
        ("http://127.0.0.1.issuer.example/keys", False),
        ("http://localhost@issuer.example/keys", False),
        ("http://0.0.0.0/keys", False),
        ("http://10.0.0.1/keys", False),
        ("http://169.254.169.254/keys", False),
        ("http://[::]/keys", False),
        ("ftp://127.0.0.1/keys", False),
        ("file:///etc/keys", False),
        ("//127.0.0.1/keys", False),
        ("keys", False),
    ],
)
def test_addresses_are_https_or_on_this_machine(address: str, is_taken: bool) -> None:
    if is_taken:
        discovery._require_https(httpx.URL(address))
        return
    with pytest.raises(ValueError, match="not https"):
        discovery._require_https(httpx.URL(address))


@pytest.mark.parametrize("at", [DISCOVERY, JWKS])
async def test_an_answer_without_an_end_is_left_early(verifier: Verifier, server: IssuerServer, at: str) -> None:
    server.break_down(never_ends(200, b" " * 4096), at=at)
    await undecided(verifier, server)
    [request] = server.requests(at)
    await asyncio.sleep(0.2)
    assert request.answered < 8 * 1024 * 1024


@pytest.mark.parametrize("at", [DISCOVERY, JWKS])
@pytest.mark.parametrize("fault", [sleeps(20), trickles(0.1, block=1)], ids=["silence", "a byte now and then"])
async def test_the_time_limit_is_for_everything(
    verifier: Verifier, server: IssuerServer, monkeypatch: pytest.MonkeyPatch, at: str, fault: Fault
) -> None:
    monkeypatch.setattr(discovery, "TIMEOUT_SECONDS", 0.5)
    server.break_down(fault, at=at)
    async with asyncio.timeout(10):
        await undecided(verifier, server)


async def test_the_first_key_of_an_id_counts(verifier: Verifier, server: IssuerServer) -> None:
    server.keys.append(replace(signing_key("RS256", "second"), id=server.key.id).jwk())
    await accepted(verifier, server)


async def test_a_set_may_be_large_but_not_endless(verifier: Verifier, server: IssuerServer) -> None:
    filler = [replace(signing_key("ES256"), id=f"key-{number}").jwk() for number in range(MAX_KEYS - 1)]
    server.keys = [*filler, server.key.jwk(), signing_key("RS256", "one-too-many").jwk()]
    await accepted(verifier, server)
    await refused(verifier, server, server.token(key=signing_key("RS256", "one-too-many")))


NO_KEYS: dict[str, tuple[str, dict[str, Any]]] = {
    "null id": ("RS256", {"kid": None}),
    "number for an id": ("RS256", {"kid": 7}),
    "for encryption": ("RS256", {"use": "enc"}),
    "list of uses": ("RS256", {"use": ["sig"]}),
    "algorithm of another family": ("RS256", {"alg": "ES256"}),
    "algorithm of a key exchange": ("RS256", {"alg": "RSA-OAEP"}),
    "list of algorithms": ("RS256", {"alg": ["RS256"]}),
    "algorithm of shared secrets": ("RS256", {"alg": "HS256"}),
    "shared secret": ("RS256", {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}),
    "shared secret for signatures": ("RS256", {"kty": "oct", "k": "c2VjcmV0"}),
    "list of families": ("RS256", {"kty": ["RSA"]}),
    "curve without points": ("RS256", {"kty": "EC", "crv": "P-256", "alg": UNSET}),
    "number for a modulus": ("RS256", {"n": 7}),
    "modulus in no base64": ("RS256", {"n": "%%%"}),
    "empty modulus": ("RS256", {"n": ""}),
    "modulus of zeros": ("RS256", {"n": "A" * 200_000}),
    "modulus of 600,000 bits": ("RS256", {"n": "_" * 100_000}),
    "exponent of zero": ("RS256", {"e": "AA"}),
    "null exponent": ("RS256", {"e": None}),
    "private RSA key": ("RS256", {"private": True}),
    "the bitcoin curve": ("ES256", {"crv": "secp256k1", "alg": "ES256K"}),
    "points of another curve": ("ES256", {"crv": "P-384", "alg": "ES384"}),
    "list of curves": ("ES256", {"crv": ["P-256"]}),
    "point off the curve": ("ES256", {"x": "A" * 43}),
    "short coordinate": ("ES256", {"x": "AAAA"}),
    "null coordinate": ("ES256", {"y": None}),
    "algorithm of another curve": ("ES256", {"alg": "ES384"}),
    "private key on a curve": ("ES256", {"private": True}),
    "the other Edwards curve": ("EdDSA", {"crv": "Ed448"}),
    "curve of a key exchange": ("EdDSA", {"crv": "X25519"}),
    "short point": ("EdDSA", {"x": "AAAA"}),
    "private Edwards key": ("EdDSA", {"private": True}),
}


@pytest.mark.parametrize(("algorithm", "changes"), NO_KEYS.values(), ids=NO_KEYS.keys())
def test_what_is_no_key_for_signatures_is_passed_over(algorithm: str, changes: dict[str, Any]) -> None:
    good = signing_key("ES256", "good")
    key_set = {"keys": [signing_key(algorithm).jwk(**changes), good.jwk()]}
    began = time.process_time()
    assert list(read_keys(json.dumps(key_set).encode())) == [good.id]
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("entry", [{}, [], None, 7, "key"])
def test_what_is_no_object_is_passed_over(entry: object) -> None:
    good = signing_key("ES256", "good")
    assert list(read_keys(json.dumps({"keys": [entry, good.jwk()]}).encode())) == [good.id]


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_key_without_use_and_algorithm_is_one(verifier: Verifier, server: IssuerServer, algorithm: str) -> None:
    key = signing_key(algorithm)
    server.keys = [key.jwk(use=UNSET, alg=UNSET)]
    allowing = replace(server.issuer, algorithms=("RS256", "PS256", "ES256", "EdDSA"))
    assert await verifier.verify(server.token(key=key), lambda url: allowing)
    if algorithm == "RS256":
        padded = replace(key, algorithm="PS256")
        assert await verifier.verify(server.token(key=padded), lambda url: allowing)


class Authority:
    """A certificate authority of our own."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = folder / f"{name}.pem"
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        self._extensions: list[x509.ExtensionType] = [
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        ]
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        own = self._signed(self._name, self._key, [constraints, usage, identifier])
        self.file.write_bytes(own.public_bytes(Encoding.PEM))

    def server_context(self, address: str) -> ssl.SSLContext:
        """What a server at an address needs, vouched for by this authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        certificate = self._signed(subject, key, [names, *self._extensions])
        chain = self._folder / f"server-{address}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain.write_bytes(private + certificate.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extensions: list[x509.ExtensionType]
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(hours=1),
            not_valid_after=now + timedelta(hours=1),
        )
        for extension in extensions:
            critical = isinstance(extension, (x509.BasicConstraints, x509.KeyUsage))
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


async def reached(issuer: Issuer, token: str) -> bool:
    try:
        await Verifier().verify(token, lambda url: issuer)
    except IssuerUnavailableError:
        return False
    return True


async def test_a_cluster_with_its_own_authority_is_reached_by_its_ca_file(authority: Authority, tmp_path: Path) -> None:
    tls = authority.server_context("127.0.0.1")
    with issuer_server(IssuerKind.KUBERNETES, tls=tls, ca_file=authority.file) as server:
        assert server.url.startswith("https://")
        assert await reached(server.issuer, server.token())
        assert not await reached(replace(server.issuer, ca_file=None), server.token())
        other = Authority(tmp_path, "theirs").file
        assert not await reached(replace(server.issuer, ca_file=other), server.token())
        assert not await reached(replace(server.issuer, ca_file=tmp_path / "missing.pem"), server.token())
        assert not await reached(replace(server.issuer, url=server.url.replace("https", "http")), server.token())


async def test_a_certificate_must_be_for_the_address(authority: Authority) -> None:
    tls = authority.server_context("127.0.0.9")
    with issuer_server(IssuerKind.KUBERNETES, tls=tls, ca_file=authority.file) as server:
        assert not await reached(server.issuer, server.token())


async def test_a_ca_file_adds_to_the_authorities_that_are_known_anyway(authority: Authority) -> None:
    known = {certificate["serialNumber"] for certificate in discovery._ssl_context(None).get_ca_certs()}
    together = {certificate["serialNumber"] for certificate in discovery._ssl_context(authority.file).get_ca_certs()}
    assert known
    assert known < together
    assert len(together - known) == 1


async def test_keys_are_fetched_through_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, verifier: Verifier, server: IssuerServer
) -> None:
    issuer = replace(server.issuer, url="https://issuer.example", jwks_url="https://issuer.example/keys")
    with Proxy().running() as proxy:
        proxy.when("CONNECT", ".*", answers(403))
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        for listed in ("10.0.0.0/8,[::1]", "issuer.example"):
            monkeypatch.setenv("NO_PROXY", listed)
            with pytest.raises(httpx.HTTPError):
                await discovery.fetch_keys(issuer)
        assert [request.path for request in proxy.seen] == ["issuer.example:443"]
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example")
    with pytest.raises(ValueError, match="HTTPS_PROXY names a proxy of socks5"):
        await discovery.fetch_keys(issuer)
