"""The operator's commands, as they are typed: what they refuse, and that every refusal is a sentence."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from modelkeep.admin.access import NO_ACCESS_CONFIGURED
from tests.support import api
from tests.support.backends import aws_environment, environment, local_environment
from tests.support.journeys.release import Walk
from tests.support.programs import EXECUTABLE, Said, clean_environment, operate, serving
from tests.support.servers import AwsServer, free_port


@pytest.fixture
def aws(ministack: AwsServer) -> dict[str, str]:
    """The environment of a registry on AWS's protocols whose table and bucket are not there."""
    return aws_environment(ministack)


def without(variables: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name not in names}


def sentence_of(said: Said, *, status: int = 1) -> str:
    """The one sentence that a command ended with."""
    assert said.status == status, said
    (sentence,) = said.err
    assert "Traceback" not in sentence
    return sentence


# serve and dev


def test_serve_needs_a_way_in(tmp_path: Path) -> None:
    local = without(local_environment(tmp_path), "MODELKEEP_AUTH")
    assert sentence_of(operate(local, "serve"), status=2) == NO_ACCESS_CONFIGURED


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"MODELKEEP_BUCKET": ""}, "MODELKEEP_BUCKET is not set: name the S3 bucket, or set MODELKEEP_BACKEND=local"),
        ({"MODELKEEP_AUTH": "all"}, "MODELKEEP_AUTH: it must be 'none'"),
        ({"MODELKEEP_BACKEND": "gcp"}, "MODELKEEP_BACKEND: it must be 'aws' or 'local'"),
        (
            {"MODELKEEP_UPLOAD_URL_TTL_SECONDS": "5"},
            "MODELKEEP_UPLOAD_URL_TTL_SECONDS: it must be greater than or equal to 60",
        ),
        (
            {"MODELKEEP_DOWNLOAD_URL_TTL_SECONDS": "604801"},
            "MODELKEEP_DOWNLOAD_URL_TTL_SECONDS: it must be less than or equal to",
        ),
        (
            {"MODELKEEP_MULTIPART_THRESHOLD_BYTES": "-1"},
            "MODELKEEP_MULTIPART_THRESHOLD_BYTES: it must be greater than",
        ),
        ({"MODELKEEP_LOG_LEVEL": "loud"}, "MODELKEEP_LOG_LEVEL: it must be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)
def test_serve_names_a_wrong_setting(aws: dict[str, str], changes: dict[str, str], sentence: str) -> None:
    assert sentence_of(operate(aws | changes, "serve"), status=2).startswith(sentence)


def test_several_wrong_settings_are_all_named(aws: dict[str, str]) -> None:
    said = operate(aws | {"MODELKEEP_TRASH_TTL_SECONDS": "1", "MODELKEEP_DOCS": "perhaps"}, "serve")
    assert said.status == 2
    assert [line.partition(":")[0] for line in said.err] == ["MODELKEEP_TRASH_TTL_SECONDS", "MODELKEEP_DOCS"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_says_what_it_cannot_open(aws: dict[str, str], workers: str) -> None:
    nobody = without(aws, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    assert sentence_of(operate(nobody, "serve", "--workers", workers)).startswith("No AWS credentials were found.")


def test_dev_starts_on_the_port_that_is_asked_for_and_keeps_data_over_a_restart(tmp_path: Path) -> None:
    port = free_port()
    command = [EXECUTABLE, "dev", "--port", str(port), "--data-dir", str(tmp_path / "data")]
    with serving(command, {}, port=port, log=tmp_path / "log") as server:
        server.wait()
        assert f"http://127.0.0.1:{port}" in server.said()
        assert httpx.get(f"{server.url}/docs", trust_env=False).status_code == 200
        with Walk(server.url) as walk:
            number, urls = walk.register("m", {"model.pt": b"bytes"})
            walk.promote("m", number)
        assert all(url.startswith(f"{server.url}/") for url in urls)
        assert server.stop() == 0
    with serving([*command, "--workers", "2"], {}, port=port, log=tmp_path / "log") as server, Walk(server.url) as walk:
        server.wait()
        assert walk.fetch("m")[0] == {"model.pt": b"bytes"}
        assert server.stop() == 0


def test_the_command_alone_shows_what_there_is() -> None:
    said = operate({}, "--help")
    assert said.status == 0
    assert all(name in "\n".join(said.out) for name in ("serve", "dev", "init", "sweep", "check", "iam-policy"))


# without what the extra `server` installs

WITHOUT_THE_EXTRA = """
import json, sys, typer.testing

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

HIDDEN = set(json.loads(sys.argv[1]))
sys.meta_path.insert(0, Hidden())
from modelkeep.program import program

for words in json.loads(sys.argv[2]):
    result = typer.testing.CliRunner().invoke(program, words)
    print(json.dumps([result.exit_code, result.stdout.splitlines(), result.stderr.splitlines()]))
"""

NOT_OF_THE_CLIENT = (
    *("aioboto3", "botocore", "cachetools", "cryptography", "fastapi", "httptools", "jwt", "limits", "opentelemetry"),
    *("prometheus_client", "pydantic_settings", "starlette", "structlog", "uvicorn", "uvloop"),
)


def without_the_extra(*commands: list[str]) -> list[Said]:
    """What commands say where only the client is installed; each is one that begins nothing."""
    arguments = (json.dumps(NOT_OF_THE_CLIENT), json.dumps(commands))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_EXTRA, *arguments],
        env=clean_environment({"MODELKEEP_BACKEND": "local"}),
        check=True,
        capture_output=True,
        text=True,
    )
    return [Said(*json.loads(line)) for line in done.stdout.splitlines()]


OF_THE_EXTRA = (
    *(["serve"], ["dev"], ["init"], ["sweep"], ["check"], ["migrate", "--from", "aws", "--to", "local:there"]),
    *(
        ["iam-policy"],
        ["token", "list", "--direct"],
        ["token", "create", "--direct", "ci", "--days", "1", "--allow", "reader"],
    ),
    *(
        ["access", "show", "--direct"],
        ["access", "explain", "--direct", "--token-file", "/dev/null", "--action", "model.read"],
    ),
)


def test_a_command_that_needs_the_extra_says_what_to_install() -> None:
    for words, said in zip(OF_THE_EXTRA, without_the_extra(*OF_THE_EXTRA), strict=True):
        command = " ".join(["modelkeep", *words[:2], "--direct"] if "--direct" in words else ["modelkeep", words[0]])
        assert said.out == [], words
        sentence = sentence_of(said, status=2)
        assert sentence.startswith(f"`{command}` needs modelkeep[server]: the module '"), words
        assert sentence.endswith("' is not installed. Install it with `pip install 'modelkeep[server]'`."), words


def test_a_program_asks_for_the_missing_extra_as_json_and_help_needs_none() -> None:
    refusal, overview, help_of_check = without_the_extra(["-o", "json", "check"], ["--help"], ["check", "--help"])
    assert (refusal.status, refusal.out) == (2, [])
    problem = json.loads("\n".join(refusal.err))
    assert (problem["code"], problem["command"], problem["extra"]) == ("missing_extra", "modelkeep check", "server")
    assert (overview.status, help_of_check.status) == (0, 0)


# problems as JSON

EXPLAIN = ["access", "explain", "--direct", "--token-file", "{folder}/absent", "--action", "model.read"]


@pytest.mark.parametrize(
    ("changes", "words", "status", "code", "detail"),
    [
        ({}, ["check"], 1, "unavailable", "There is no registry in '{folder}'. Set MODELKEEP_DATA_DIR."),
        ({"MODELKEEP_DOCS": "?", "MODELKEEP_LOG_LEVEL": "?"}, ["sweep"], 2, "usage", "MODELKEEP_DOCS: it must be"),
        ({}, ["token", "revoke", "--direct", "absent"], 1, "token_not_found", "There is no token 'absent'"),
        ({}, ["access", "check", "{folder}"], 2, "usage", "Invalid value for 'FILE': {folder} cannot be read: Is a"),
        ({}, ["migrate", "--from", "gcp", "--to", "aws"], 2, "usage", "Invalid value: 'gcp' is neither aws nor local"),
        ({}, EXPLAIN, 2, "system_error", "'{folder}/absent': No such file or directory."),
    ],
    ids=["refusal", "settings", "absent", "file", "argument", "system"],
)
def test_a_program_reads_a_problem_as_json(
    tmp_path: Path, changes: dict[str, str], words: list[str], status: int, code: str, detail: str
) -> None:
    variables = local_environment(tmp_path) | changes
    said = operate(variables, "-o", "json", *(word.format(folder=tmp_path) for word in words))
    assert (said.status, said.out) == (status, [])
    problem = json.loads("\n".join(said.err))
    assert problem["code"] == code
    assert problem["detail"].startswith(detail.format(folder=tmp_path))


# init


def test_init_makes_what_is_missing_and_a_second_time_finds_it(aws: dict[str, str]) -> None:
    first, second = operate(aws, "init"), operate(aws, "init")
    assert (first.status, second.status) == (0, 0)
    name = aws["MODELKEEP_TABLE"]
    assert first.out[0] == f"Table '{name}' is created, billed by request."
    assert f"Bucket '{name}' was created in us-east-1." in first.out
    assert "Versioning was switched on." in first.out
    assert second.out[0] == f"Table '{name}' was there."
    assert f"Bucket '{name}' is there already." in second.out
    assert not [line for line in second.out if "created" in line or "added" in line or "switched" in line]
    assert operate(aws, "check") == Said(0, ["clean"], [])


def test_init_readies_the_folder_of_the_embedded_store(tmp_path: Path) -> None:
    local = {"MODELKEEP_BACKEND": "local", "MODELKEEP_DATA_DIR": str(tmp_path / "data")}
    for _ in range(2):
        assert operate(local, "init") == Said(0, [f"Folder '{tmp_path / 'data'}' is ready."], [])


@pytest.mark.parametrize(
    ("lost", "changes", "sentence"),
    [
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), {}, "No AWS credentials were found. They are looked for in"),
        (("AWS_SECRET_ACCESS_KEY",), {}, "No AWS credentials were found. They are looked for in"),
        (("AWS_REGION", "AWS_DEFAULT_REGION"), {}, "No AWS region is set. Set AWS_REGION."),
        ((), {"AWS_ACCESS_KEY_ID": "nobody"}, "AWS does not accept the credentials. Check AWS_ACCESS_KEY_ID"),
        ((), {"AWS_ENDPOINT_URL": "nonsense"}, "The AWS configuration cannot be used. Check AWS_PROFILE"),
        ((), {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "No answer from http://127.0.0.1:1 for table"),
        ((), {"AWS_PROFILE": "absent"}, "The AWS configuration cannot be used. Check AWS_PROFILE"),
    ],
    ids=["no-credentials", "half-credentials", "no-region", "unknown-key", "no-address", "nobody-there", "no-profile"],
)
def test_init_says_what_is_wrong_with_aws(
    aws: dict[str, str], lost: tuple[str, ...], changes: dict[str, str], sentence: str
) -> None:
    assert sentence_of(operate(without(aws, *lost) | changes, "init")).startswith(sentence)


@contextmanager
def refusing(status: int, body: bytes) -> Iterator[str]:
    """A server that answers every request the same."""

    class Refusal(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", "0")))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_HEAD = _answer  # noqa: N815 -- the names that the base class calls

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refusal) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _dynamodb_error(code: str) -> bytes:
    return json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "no"}).encode()


@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        ("init", "AccessDeniedException", "The role lacks dynamodb:CreateTable on table '{name}'."),
        ("check", "AccessDeniedException", "The role lacks dynamodb:GetItem on table '{name}'."),
        ("sweep", "ResourceNotFoundException", "The table '{name}' does not exist in us-east-1: run `modelkeep"),
        ("check", "ExpiredTokenException", "The AWS credentials have expired."),
        ("check", "InvalidSignatureException", "AWS does not accept the credentials."),
    ],
)
def test_a_refusal_of_the_table_says_what_to_do(aws: dict[str, str], command: str, code: str, sentence: str) -> None:
    with refusing(400, _dynamodb_error(code)) as url:
        said = operate(aws | {"AWS_ENDPOINT_URL_DYNAMODB": url}, command)
    assert sentence_of(said).startswith(sentence.format(name=aws["MODELKEEP_TABLE"]))


def test_a_refusal_of_the_bucket_names_the_action_and_what_was_done_before_it(aws: dict[str, str]) -> None:
    with refusing(403, b"<Error><Code>AccessDenied</Code></Error>") as url:
        said = operate(aws | {"AWS_ENDPOINT_URL_S3": url}, "init")
    assert sentence_of(said).startswith(f"The role lacks s3:ListBucket on bucket '{aws['MODELKEEP_BUCKET']}', or ")
    assert "iam-policy" in said.err[0]
    assert said.out[0].startswith("Table ")


@pytest.mark.parametrize("command", ["sweep", "check"])
def test_a_missing_table_or_bucket_is_said(aws: dict[str, str], command: str) -> None:
    missing = "does not exist in us-east-1: run `modelkeep init`."
    assert sentence_of(operate(aws, command)) == f"The table '{aws['MODELKEEP_TABLE']}' {missing}"


# what a service without its table answers


async def test_a_service_without_its_table_names_the_command_and_the_region(aws: dict[str, str]) -> None:
    with environment(aws) as settings:
        async with api.serving(settings) as service:
            for method, path in (("GET", "/v1/models/m"), ("GET", "/v1/models"), ("GET", "/readyz")):
                answer = await service.http.request(method, path)
                problem = answer.json()
                assert (answer.status_code, problem["code"]) == (503, "unavailable")
                assert "modelkeep init" in problem["detail"]
                assert "us-east-1" in problem["detail"]
                assert answer.headers["retry-after"].isdigit()
            assert (await service.http.get("/healthz")).status_code == 200


# iam-policy


@pytest.mark.parametrize("role", ["serve", "sweep", "init"])
def test_iam_policy_prints_a_document_for_each_role(aws: dict[str, str], role: str) -> None:
    said = operate(aws, "iam-policy", role, "--account", "123456789012", "--region", "eu-west-1")
    assert said.status == 0
    document = json.loads("\n".join(said.out))
    assert document["Version"] == "2012-10-17"
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        assert all(action.startswith(("dynamodb:", "s3:")) and "*" not in action for action in statement["Action"])
        for resource in statement["Resource"]:
            table = f"arn:aws:dynamodb:eu-west-1:123456789012:table/{aws['MODELKEEP_TABLE']}"
            assert resource.startswith((table, f"arn:aws:s3:::{aws['MODELKEEP_BUCKET']}"))


def test_iam_policy_is_for_the_service_unless_told_otherwise(aws: dict[str, str]) -> None:
    assert operate(aws, "iam-policy").out == operate(aws, "iam-policy", "serve").out


def test_iam_policy_needs_the_bucket(aws: dict[str, str]) -> None:
    local = {"MODELKEEP_BACKEND": "local"}
    assert sentence_of(operate(local, "iam-policy"), status=2).startswith("MODELKEEP_BUCKET is not set")
