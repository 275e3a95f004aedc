"""`modelkeep doctor`: every line is ok on a sound machine, and each fault is named with what to do."""

import json
import shutil
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.client.test_cli_imports import RUN, WITHOUT_A_SERVER, _python
from tests.support.faults.network import answers, changes_headers, problem, rewrites, sleeps
from tests.support.faults.proxy import Proxy
from tests.support.processes.cli import Cli
from tests.support.programs import Server
from tests.support.servers import free_port

Write = Callable[..., Path]
Checks = dict[str, Any]

NAMES = ["address", "service", "clock", "identity", "rights", "storage", "cache", "state", "disk"]
REGISTRY = NAMES[:6]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of this machine's."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def examine(cli: Cli, *, status: int = 0) -> Checks:
    """Each check by its name."""
    said = cli("-o", "json", "doctor")
    assert (said.status, said.err) == (status, []), said
    document = json.loads("\n".join(said.out))
    assert document["ok"] == (status == 0)
    checks = {check["name"]: check for check in document["checks"]}
    assert list(checks) == NAMES
    for check in checks.values():
        assert (check["code"] is not None) == (check["outcome"] == "fault")
    return checks


def fault(cli: Cli, name: str, *, status: int = 1) -> tuple[str, str]:
    """The code and the sentence of the only fault; what depends on it is not checked, and nothing else is missing."""
    checks = examine(cli, status=status)
    (found,) = [check for check in checks.values() if check["outcome"] == "fault"]
    assert found["name"] == name
    return found["code"], found["detail"]


def outcomes(checks: Checks) -> str:
    return " ".join(checks[name]["outcome"] for name in REGISTRY)


# a sound machine


def test_on_a_sound_machine_every_line_is_ok(url: str, model: str, write: Write) -> None:
    cli = Cli(url)
    cli.does("register", model, write(3_000_000))
    checks = examine(cli)
    assert {check["outcome"] for check in checks.values()} == {"ok"}
    assert checks["address"]["detail"] == f"{url}, from MODELKEEP_URL"
    assert checks["identity"]["detail"] == "you are 'anonymous' by no token at all"
    assert checks["rights"]["detail"] == "you may do: everything on all models"
    assert checks["storage"]["detail"].startswith("storage at http://127.0.0.1:")
    lines = cli.does("doctor")
    assert [line.split()[:2] for line in lines] == [["ok", name] for name in NAMES]


def test_it_asks_for_one_byte_and_changes_nothing(proxy: Proxy, model: str, write: Write, state_folder: Path) -> None:
    cli = _only(proxy, model, write(3_000_000))
    shutil.rmtree(state_folder)
    proxy.seen.clear()
    examine(cli)
    assert {request.method for request in proxy.seen} == {"GET"}
    (stored,) = proxy.asked("GET", "^/local-store/")
    assert (stored.headers["range"], stored.answered) == ("bytes=0-0", 1)
    assert not state_folder.exists()


def test_without_a_version_storage_is_not_checked(proxy: Proxy) -> None:
    proxy.when("GET", "/v1/models", answers(200, '{"items": [], "next_cursor": null}', content_type="application/json"))
    storage = examine(Cli(proxy.url))["storage"]
    assert storage["outcome"] == "not_checked"
    assert storage["detail"] == "There is no version that you may read, so no URL can be signed. Register one."


def test_an_empty_file_is_read_as_well(proxy: Proxy, model: str, write: Write) -> None:
    cli = _only(proxy, model, write(**{"empty.bin": 0, "other.bin": 10}))
    assert examine(cli)["storage"]["outcome"] == "ok"
    assert proxy.asked("GET", "^/local-store/")[-1].path.endswith("/empty.bin")


def _only(proxy: Proxy, model: str, source: Path) -> Cli:
    """Register a model, which is then the only one that is listed."""
    cli = Cli(proxy.url)
    cli.does("register", model, source)

    def alone(page: Any) -> Any:
        return {**page, "items": [item for item in page["items"] if item["model"] == model]}

    proxy.when("GET", r"/v1/models\?", rewrites(alone))
    return cli


def test_in_lines_and_in_csv_each_check_is_an_entry(dev_url: str) -> None:
    lines = Cli(dev_url).does("-o", "jsonl", "doctor")
    assert [json.loads(line)["name"] for line in lines] == NAMES
    header, *rows = Cli(dev_url).does("-o", "csv", "doctor")
    assert header == "name,outcome,code,detail"
    assert [row.split(",")[0] for row in rows] == NAMES


def test_it_needs_nothing_of_the_server(dev_url: str) -> None:
    assert "a registry answers" in _python(WITHOUT_A_SERVER + RUN, "--url", dev_url, "doctor")


# the address


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("registry:8000", "In MODELKEEP_URL, 'registry:8000' is not an address like http://registry:8000."),
        (
            "http://user:s3cret@registry:8000",
            "In MODELKEEP_URL, the address has a user name or a password. Remove them,",
        ),
    ],
)
def test_a_wrong_address(url: str, sentence: str) -> None:
    code, found = fault(Cli(url), "address", status=2)
    assert (code, found[: len(sentence)]) == ("invalid_address", sentence)
    assert outcomes(examine(Cli(url), status=2)) == "fault" + " not_checked" * 5
    assert "s3cret" not in "".join(Cli(url)("doctor").out)


def test_an_address_on_the_command_line_goes_before_the_variable(dev_url: str) -> None:
    said = Cli("http://registry.invalid")("--url", dev_url, "doctor")
    assert (said.status, said.out[0]) == (0, f"ok  address   {dev_url}, from --url")


def test_the_default_address_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelkeep.client.diagnosis.DEFAULT_URL", default := f"http://127.0.0.1:{free_port()}")
    checks = examine(Cli("", {"MODELKEEP_URL": ""}), status=3)
    assert checks["address"]["detail"] == f"{default}, the default, since MODELKEEP_URL is not set"


@pytest.mark.usefixtures("no_proxy")
def test_a_proxy_is_named_by_its_variable() -> None:
    cli = Cli("http://registry.example:8000", {"HTTP_PROXY": f"http://user:s3cret@127.0.0.1:{free_port()}"})
    checks = examine(cli, status=3)
    assert checks["address"]["detail"].endswith(", through the proxy of HTTP_PROXY")
    assert "s3cret" not in json.dumps(checks)


@pytest.mark.usefixtures("no_proxy")
def test_a_variable_that_cannot_be_used() -> None:
    cli = Cli("http://registry.example:8000", {"HTTP_PROXY": "socks5://127.0.0.1:1"})
    code, sentence = fault(cli, "address", status=2)
    assert code == "unusable_variable"
    assert sentence.startswith("The environment variable HTTP_PROXY names a proxy of socks5")


# the service


def test_nothing_listens() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    code, sentence = fault(Cli(url), "service", status=3)
    assert code == "unreachable"
    assert sentence.startswith(f"No answer from {url}: ")
    assert sentence.endswith(". Nothing listens there: check the host and the port, and that the program runs.")
    assert outcomes(examine(Cli(url), status=3)) == "ok fault" + " not_checked" * 4


@pytest.mark.usefixtures("no_proxy")
def test_a_name_that_is_not_known() -> None:
    code, sentence = fault(Cli("http://registry.invalid"), "service", status=3)
    assert code == "unreachable"
    assert "The host's name cannot be resolved" in sentence


@pytest.mark.parametrize("status", [200, 404, 503])
def test_a_page_of_something_else_answers(proxy: Proxy, status: int) -> None:
    proxy.when(".*", ".*", answers(status, "<html>It works!</html>", content_type="text/html"))
    code, sentence = fault(Cli(proxy.url), "service", status=3)
    assert code == "not_a_registry"
    assert sentence.startswith(f"{proxy.url} does not answer like a model registry: ")
    assert sentence.endswith("Check --url or MODELKEEP_URL.")


def test_a_service_that_does_not_answer_in_time(proxy: Proxy) -> None:
    proxy.when("GET", "/v1/", sleeps(3))
    with mock.patch("modelkeep.client.diagnosis.registry._TIMEOUT", 0.2):
        code, sentence = fault(Cli(proxy.url), "service", status=3)
    assert (code, "Something drops what is sent" in sentence) == ("unreachable", True)


def test_a_service_that_cannot_read_its_table(proxy: Proxy) -> None:
    proxy.when("GET", "/v1/", problem(503, "unavailable", detail="The table does not answer."))
    assert fault(Cli(proxy.url), "identity") == ("unavailable", "The table does not answer.")


# TLS


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def with_tls(certificate: Path) -> Iterator[int]:
    """The port of a server that speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_certificate_that_nobody_vouches_for(with_tls: int) -> None:
    code, sentence = fault(Cli(f"https://127.0.0.1:{with_tls}"), "service", status=3)
    assert code == "unreachable"
    assert "Its certificate is not accepted: self-signed certificate." in sentence
    assert "SSL_CERT_FILE" in sentence


def test_http_where_tls_is_spoken(with_tls: int) -> None:
    code, sentence = fault(Cli(f"http://127.0.0.1:{with_tls}"), "service", status=3)
    assert (code, sentence.endswith("If it speaks TLS, write https:// in place of http://.")) == ("unreachable", True)


def test_tls_where_http_is_spoken(dev_url: str) -> None:
    code, sentence = fault(Cli(dev_url.replace("http:", "https:")), "service", status=3)
    assert (code, "Write http:// in place of https://" in sentence) == ("unreachable", True)


# the clock


@pytest.mark.parametrize(("minutes", "words"), [(10, "behind"), (-10, "ahead of"), (1.5, "behind"), (-1.5, "ahead of")])
def test_a_clock_that_is_wrong(proxy: Proxy, minutes: float, words: str) -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
    proxy.when("GET", "/v1/whoami", changes_headers(date=then))
    code, sentence = fault(Cli(proxy.url), "clock")
    assert code == "clock_differs"
    found = sentence.removeprefix("The clock of this machine is ")
    assert found.split(" min ")[0] in {str(int(abs(minutes))), str(int(abs(minutes)) - 1)}
    assert f" {words} that of the service. Set the one that is wrong" in found


@pytest.mark.parametrize("seconds", [-30, 30])
def test_a_clock_that_is_off_by_less_than_matters(proxy: Proxy, seconds: int) -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    proxy.when("GET", "/v1/whoami", changes_headers(date=then))
    assert examine(Cli(proxy.url))["clock"]["outcome"] == "ok"


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_a_service_without_a_clock(proxy: Proxy, date: str) -> None:
    proxy.when("GET", "/v1/whoami", changes_headers(date=date))
    assert examine(Cli(proxy.url))["clock"]["outcome"] == "not_checked"


# who and what


def test_a_token_that_is_known(proxy: Proxy, token: str) -> None:
    checks = examine(Cli(proxy.url, {"MODELKEEP_TOKEN": token}))
    assert checks["identity"]["detail"].startswith("you are 'dev' by the token from MODELKEEP_TOKEN, until 20")
    assert checks["rights"]["detail"] == "you may do: admin on all models"
    assert token not in json.dumps(checks)


def test_a_token_that_is_refused(proxy: Proxy, token: str) -> None:
    cli = Cli(proxy.url, {"MODELKEEP_TOKEN": f"{token[:-1]}{'0' if token[-1] != '0' else '1'}"})
    code, sentence = fault(cli, "identity")
    assert code == "invalid_token"
    assert sentence.endswith(" It is the token from MODELKEEP_TOKEN.")
    assert token[:-1] not in sentence
    assert outcomes(examine(cli, status=1)) == "ok ok ok fault not_checked not_checked"


def test_a_token_that_cannot_be_read(dev_url: str, tmp_path: Path) -> None:
    cli = Cli(dev_url, {"MODELKEEP_TOKEN_FILE": str(tmp_path / "absent")})
    sentence = f"No token from MODELKEEP_TOKEN_FILE '{tmp_path}/absent': No such file or directory."
    assert fault(cli, "identity") == ("no_token", sentence)
    assert outcomes(examine(cli, status=1)).startswith("ok ok ok fault")


def test_no_token_where_one_is_needed(proxy: Proxy) -> None:
    proxy.when("GET", "/v1/", problem(401, "credentials_required"))
    code, sentence = fault(Cli(proxy.url), "identity")
    assert code == "credentials_required"
    assert "MODELKEEP_TOKEN_FILE" in sentence


def test_rights_are_listed_with_what_is_denied(proxy: Proxy) -> None:
    grants = [
        {"allow": ["publisher", "alias.set"], "deny": [], "models": ["fraud-*", "spam"]},
        {"allow": [], "deny": ["version.edit"], "models": ["*"]},
    ]
    proxy.when("GET", "/v1/whoami", rewrites(lambda caller: {**caller, "grants": grants}))
    assert examine(Cli(proxy.url))["rights"]["detail"] == (
        "you may do: publisher, alias.set on fraud-*, spam; but never: version.edit on all models"
    )


def test_a_caller_that_may_do_nothing(proxy: Proxy) -> None:
    proxy.when("GET", "/v1/whoami", rewrites(lambda caller: {**caller, "grants": []}))
    assert fault(Cli(proxy.url), "rights")[0] == "no_rights"


def test_a_service_of_an_earlier_release(proxy: Proxy) -> None:
    proxy.when("GET", "/v1/whoami", problem(404, "not_found"))
    checks = examine(Cli(proxy.url))
    assert checks["identity"]["detail"] == "no token at all is accepted; this service is too old to say who you are"
    assert checks["rights"]["outcome"] == "not_checked"


# storage


def _signed_for(port: int) -> Callable[[Any], Any]:
    def change(download: Any) -> Any:
        for artifact in download["artifacts"]:
            artifact["url"] = artifact["url"].replace(artifact["url"].split("/")[2], f"127.0.0.1:{port}")
        return download

    return change


@pytest.fixture
def registered(proxy: Proxy, model: str, write: Write) -> Cli:
    return _only(proxy, model, write(1000))


def test_storage_that_is_not_reached(proxy: Proxy, registered: Cli) -> None:
    port = free_port()
    proxy.when("GET", "/download", rewrites(_signed_for(port)))
    code, sentence = fault(registered, "storage", status=3)
    assert code == "storage_unreachable"
    assert sentence.startswith(f"No answer from storage at http://127.0.0.1:{port}: ")
    assert "a firewall or a proxy must let this host through" in sentence
    assert "ignature" not in "".join(registered("doctor").out)


@pytest.mark.parametrize(
    ("status", "code"), [(403, "storage_refused"), (404, "storage_refused"), (503, "storage_unreachable")]
)
def test_storage_that_refuses(proxy: Proxy, registered: Cli, status: int, code: str) -> None:
    proxy.when("GET", "^/local-store/", answers(status, "<Code>AccessDenied</Code>"))
    found, sentence = fault(registered, "storage", status=3 if status == 503 else 1)
    assert found == code
    assert f"{status}" in sentence
    assert "ignature" not in sentence


def test_storage_without_ranges_is_sound(proxy: Proxy, registered: Cli) -> None:
    proxy.when("GET", "^/local-store/", answers(200, b"x" * 1000))
    assert examine(registered)["storage"]["outcome"] == "ok"


# this machine


def test_a_cache_that_can_be_used_and_one_that_is_not_there_yet(dev_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cli = Cli(dev_url, {"MODELKEEP_CACHE_DIR": str(folder)})
    assert examine(cli)["cache"]["detail"] == f"'{folder}' can be used; it is made when it is needed"
    assert not folder.exists()
    folder.mkdir(0o755)
    assert examine(cli)["cache"]["detail"] == f"'{folder}' can be used"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("{tmp}/file", "is no folder, or a link to one."),
        ("{tmp}/file/cache", "cannot be used: Not a directory."),
        ("{tmp}/shared", "may be written to by others (mode 0777); run chmod go-w on it"),
        ("/proc/sys", "cannot be used: "),
    ],
)
def test_a_cache_that_cannot_be_used(dev_url: str, tmp_path: Path, folder: str, reason: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    named = folder.format(tmp=tmp_path)
    code, sentence = fault(Cli(dev_url, {"MODELKEEP_CACHE_DIR": named}), "cache")
    assert code == "cache_unusable"
    assert sentence.startswith(f"'{named}' {reason}")


def test_a_folder_for_state_that_cannot_be_used(dev_url: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cli = Cli(dev_url, {"XDG_STATE_HOME": str(tmp_path / "file")})
    code, sentence = fault(cli, "state")
    assert (code, "A registration that is interrupted starts anew." in sentence) == ("state_unusable", True)


def test_a_disk_that_is_nearly_full(dev_url: str, tmp_path: Path) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=50 * 1024 * 1024)
    with mock.patch("shutil.disk_usage", return_value=full):
        code, sentence = fault(Cli(dev_url), "disk")
    assert code == "disk_full"
    assert sentence.startswith("Only 50.0 MiB are free in ")


def test_a_folder_that_cannot_be_written_to_is_no_fault(dev_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/proc/sys")
    assert examine(Cli(dev_url))["disk"]["outcome"] == "not_checked"


def test_faults_of_the_registry_do_not_hide_those_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    variables = {"MODELKEEP_CACHE_DIR": str(tmp_path / "file"), "XDG_STATE_HOME": str(tmp_path / "file")}
    checks = examine(Cli(f"http://127.0.0.1:{free_port()}", variables), status=3)
    assert [name for name in NAMES if checks[name]["outcome"] == "fault"] == ["service", "cache", "state"]


def test_no_answer_of_any_kind_prints_the_token(
    dev_behind_proxy: tuple[Proxy, Server], proxy: Proxy, token: str
) -> None:
    cli = Cli(proxy.url, {"MODELKEEP_TOKEN": token})
    for fault_ in (answers(401, "no"), problem(401, "invalid_token", reason="no"), answers(200, token), answers(302)):
        proxy.reset()
        proxy.when("GET", "/v1/", fault_)
        said = cli("doctor")
        assert said.status
        assert token not in "\n".join(said.out + said.err)
