"""Every way for a command to fail: its exit status, its code, and its one sentence; never a traceback."""

import json
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from modelkeep.cli import queries
from tests.support.faults.network import answers, problem
from tests.support.faults.proxy import Proxy
from tests.support.library_words import library_words
from tests.support.processes.cli import Cli
from tests.support.servers import free_port

Write = Callable[..., Path]

SIZE = "a metric is finite, and 0 or between 1e-130 and 9.99e125 in size"


@pytest.fixture
def cli(dev_url: str) -> Cli:
    return Cli(dev_url)


@pytest.fixture
def registered(cli: Cli, model: str, write: Write) -> str:
    cli.does("register", model, write(3_000_000), "--promote", "production")
    return model


@pytest.fixture
def other() -> Iterator[Proxy]:
    """A server that is no registry."""
    with Proxy().running() as proxy:
        yield proxy


# 1: refused


def test_an_absent_model(cli: Cli, model: str) -> None:
    advice = "Check its name; the first version that is registered creates it."
    absent = ("model_not_found", f"There is no model '{model}'. {advice}")
    for command in (["list", model], ["show", model], ["download", model], ["rollback", model], ["promote", model, 1]):
        assert cli.refusal(*command) == absent


@pytest.mark.parametrize("command", ["show {}", "list {}", "download {}", "promote {} 1", "alias rm {} x"])
def test_an_absent_model_with_a_name_much_like_another(cli: Cli, registered: str, command: str) -> None:
    words = command.format(registered[:-1]).split()
    assert f"Did you mean '{registered}'?" in cli(*words).err
    assert len(cli("-o", "json", *words).err) == 1


def test_a_name_much_like_another_is_found_by_no_letter_in_particular(cli: Cli, registered: str) -> None:
    swapped = registered[1] + registered[0] + registered[2:]
    for mistaken in (registered.swapcase(), f"x{registered}", swapped):
        assert f"Did you mean '{registered}'?" in cli("show", mistaken).err, mistaken


def test_an_absent_model_like_no_other_brings_no_question(cli: Cli, registered: str) -> None:
    assert not [line for line in cli("show", "zzz-unlike-any").err if "Did you mean" in line]


def test_a_service_that_asks_nobody_names_the_address_that_it_does_not_answer_at(dev_url: str) -> None:
    code, sentence = Cli(dev_url.replace("127.0.0.1", "0.0.0.0")).refusal("list")
    assert code == "foreign_host"
    assert f"'{dev_url.replace('http://127.0.0.1', '0.0.0.0')}' is neither" in sentence
    assert "Set MODELKEEP_PUBLIC_URL to the address that callers use" in sentence


def test_a_refusal_has_the_fields_of_the_problem(cli: Cli, registered: str, write: Write) -> None:
    cli.does("register", registered, write(10))
    said = cli("-o", "json", "promote", registered, 2, "--expect", 7)
    assert (said.status, said.out) == (1, [])
    sentence = f"Production of '{registered}' is version 1, not what was expected. Nothing was changed; decide again."
    assert json.loads(said.err[-1]) == {
        "code": "production_changed",
        "detail": sentence,
        "model": registered,
        "expected": 7,
        "holder": 1,
    }


def test_what_production_forbids(cli: Cli, registered: str, write: Write) -> None:
    assert cli.refusal("delete", registered, 1, "--yes")[0] == "version_in_use"
    assert cli.refusal("delete", registered, "--yes")[0] == "model_not_empty"
    assert cli.refusal("alias", "set", registered, "latest", 1)[0] == "alias_reserved"
    assert cli.refusal("alias", "rm", registered, "canary")[0] == "alias_not_found"
    cli.does("register", registered, write(10), "--promote", "production")
    assert cli.refusal("promote", registered, 1, "--only-newer")[0] == "not_newer"


def test_a_version_that_is_not_deleted_is_not_restored(cli: Cli, registered: str) -> None:
    assert cli.refusal("restore", registered, 1) == (
        "version_not_deleted",
        f"'{registered}' version 1 is not deleted: it is in stage production. There is nothing to restore.",
    )
    assert cli.refusal("restore", registered, 9)[0] == "version_not_found"


def test_a_wrong_token(other: Proxy) -> None:
    other.when(".*", ".*", problem(401, "unauthenticated", detail="The token is not known.", request_id="r-1"))
    cli = Cli(other.url, {"MODELKEEP_TOKEN": "secret-token"})
    said = cli("list")
    assert (said.status, said.out) == (1, [])
    assert said.err == ["Error: The token is not known.", "request_id: r-1"]
    assert other.seen[0].headers["authorization"] == "Bearer secret-token"
    document = json.loads(cli("-o", "json", "list").err[-1])
    assert (document["code"], document["status"], document["request_id"]) == ("unauthenticated", 401, "r-1")


def test_there_is_no_option_for_the_token(cli: Cli) -> None:
    assert cli("--token", "secret", "list").status == 2


# 1: files on this machine


def test_a_missing_file(cli: Cli, model: str) -> None:
    sentence = "'/nowhere/model.pt' does not exist. Give the path of a file or a folder."
    assert cli.refusal("register", model, "/nowhere/model.pt") == ("local_file", sentence)


def test_an_empty_folder(cli: Cli, model: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    sentence = f"'{tmp_path}/empty' has no files; a version has at least one."
    assert cli.refusal("register", model, tmp_path / "empty")[1] == sentence
    sentence = f"'{tmp_path}/empty' has no files that match the patterns; a version has at least one."
    assert cli.refusal("register", model, tmp_path / "empty", "--include", "*.pt")[1] == sentence


@pytest.mark.parametrize(
    ("dest", "reason"), [("file/sub", "Not a directory"), ("/proc/nope", "No such file or directory")]
)
def test_a_destination_that_cannot_be_made(cli: Cli, registered: str, tmp_path: Path, dest: str, reason: str) -> None:
    (tmp_path / "file").touch()
    assert cli.refusal("download", registered, "--dest", tmp_path / dest) == (
        "local_file",
        f"'{tmp_path / dest}' cannot be written to: {reason}.",
    )


def test_a_destination_that_is_a_file(cli: Cli, registered: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sentence = f"'{tmp_path}/file' is a file. Give a folder as the destination."
    assert cli.refusal("download", registered, "--dest", tmp_path / "file") == ("local_file", sentence)


def test_a_full_disk_is_said_before_anything_comes(cli: Cli, registered: str, tmp_path: Path) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    with mock.patch("shutil.disk_usage", return_value=full):
        code, sentence = cli.refusal("download", registered, "--dest", tmp_path / "there")
    assert code == "local_file"
    assert sentence == f"'{tmp_path}/there' cannot be written to: 3000000 bytes are needed and 1000 are free."


def test_a_disk_that_takes_no_more_bytes(cli: Cli, registered: str, tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk: it holds for every user on every Linux."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))  # noqa: E731
    process = cli.start("download", registered, "--dest", tmp_path / "there", preexec_fn=limit)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert err.splitlines()[-1] == f"Error: '{tmp_path}/there' cannot be written to: File too large."


def test_an_output_that_takes_no_bytes(cli: Cli, registered: str) -> None:
    with Path("/dev/full").open("w") as full:
        process = cli.start("list", registered, stdout=full)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err.splitlines()) == (1, ["Error: No space left on device."])


# 2: usage


@pytest.mark.parametrize("mistaken", ["--output xml", "-o xml", "--nonsense", "--metric f1=1"])
def test_a_mistake_before_the_command_is_said_as_one_after_it(cli: Cli, mistaken: str) -> None:
    before, after = cli(*mistaken.split(), "list"), cli("list", *mistaken.split())
    assert (before.status, before.out, len(before.err)) == (2, [], 1)
    assert before.err[0].replace("'modelkeep --help'", "'modelkeep list --help'") == after.err[0]
    assert not library_words(before.err[0])


def test_a_mistake_before_the_command_is_an_object_for_programs(cli: Cli) -> None:
    (line,) = cli("-o", "json", "--nonsense", "list").err
    assert json.loads(line)["code"] == "usage"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("{", "not JSON at line 1, column 2: expecting property name enclosed in double quotes."),
        ('{"f1": 0.9,\n "auc" 0.8}', "not JSON at line 2, column 8: expecting ':' delimiter."),
        ('{"f1": NaN}', "NaN is not a finite number."),
        ('{"f1": -Infinity}', "-Infinity is not a finite number."),
        ('{"f1": 1e999}', f"'f1' is Infinity: {SIZE}."),
        (f'{{"f1": 1{"0" * 400}}}', f"'f1' is 1{'0' * 39}: {SIZE}."),
        ('{"f1": 1e-200}', f"'f1' is 1e-200: {SIZE}."),
        (
            f'{{"seed": {2**53 + 1}}}',
            f"'seed' is {2**53 + 1}: a metric holds no integer beyond 2**53 exactly; make it a tag.",
        ),
        ("0.9", 'metrics are a JSON object of numbers, like {"f1": 0.94}.'),
        ('[["f1", 0.9]]', 'metrics are a JSON object of numbers, like {"f1": 0.94}.'),
        ('{"f1": "0.9"}', "'f1' is \"0.9\": a metric is a number, not text."),
        ('{"f1": true}', "'f1' is true: a metric is a number, not a truth value."),
        ('{"f1": null}', "'f1' is null: a metric is a number, not null."),
        ("@/nowhere/metrics.json", "'/nowhere/metrics.json' cannot be read: No such file or directory."),
        ("[" * 100_000, "not JSON that can be read."),
    ],
)
def test_bad_metrics(cli: Cli, model: str, write: Write, given: str, sentence: str) -> None:
    refusal = cli.refusal("register", model, write(10), "--metrics", given, status=2)
    assert refusal == ("usage", f"Invalid value for '--metrics': {sentence}")


def test_metrics_that_are_no_text(cli: Cli, model: str, write: Write) -> None:
    source = write(1000)
    code, sentence = cli.refusal("register", model, source, "--metrics", f"@{source}", status=2)
    assert (code, sentence) == ("usage", f"Invalid value for '--metrics': '{source}' is not a text file.")


def test_a_usage_error_says_where_to_look(cli: Cli, model: str) -> None:
    assert cli("register", model).err == ["Error: Missing argument 'PATH'. Try 'modelkeep register --help'."]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["rollback", "m", "--expect", "x"], "Invalid value for '--expect': 'x' is neither a version number nor none."),
        (["register", "m", "p", "--tag", "team"], "Invalid value for '--tag': 'team' is not of the form key=value."),
        (
            ["list", "--stage", "production"],
            "Invalid value: --stage, --tag, --sort and --has-alias are for versions. Name their model.",
        ),
        (["edit", "m"], "Invalid value for options: say what to change."),
        (["edit", "m", "--metrics", "{}"], "Invalid value for 'VERSION': metrics are of a version. Give its number."),
        (["delete", "m", "1"], "Invalid value for '--yes': there is no terminal to ask on. Add --yes."),
        (["lst"], "No such command 'lst'. Did you mean 'list'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_a_wrong_argument(cli: Cli, command: list[str], sentence: str) -> None:
    assert cli.refusal(*command, status=2) == ("usage", sentence)


@pytest.mark.parametrize(
    ("command", "location"),
    [
        (["show", "no good"], "model"),
        (["show", "m", "not a ref"], "version"),
        (["alias", "set", "m", "Not An Alias", "1"], "alias"),
        (["promote", "m", "1", "--comment", "x" * 2000], "comment"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_outside_its_rules(cli: Cli, command: list[str], location: str) -> None:
    code, sentence = cli.refusal(*command, status=2)
    assert (code, sentence.partition(":")[0]) == ("invalid_request", location)


def test_an_address_that_is_none(model: str) -> None:
    sentence = "Invalid value for '--url' or MODELKEEP_URL: 'nowhere' is not an address like http://registry:8000."
    assert Cli("nowhere").refusal("show", model, status=2) == ("usage", sentence)


# 3: unreachable


def test_a_server_that_is_down(slept: list[float], model: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    reason = "All connection attempts failed"
    code, sentence = Cli(url).refusal("show", model, status=3)
    assert code == "unreachable"
    assert sentence == f"No answer from {url}: {reason}. Check the address, and that the service runs."


def test_a_server_that_is_no_registry(other: Proxy, model: str) -> None:
    other.when(".*", ".*", answers(404, "<html>", content_type="text/html"))
    code, sentence = Cli(other.url).refusal("show", model, status=3)
    assert code == "not_a_registry"
    reason = "status 404 with text/html"
    assert sentence == f"{other.url} does not answer like a model registry: {reason}. Check --url or MODELKEEP_URL."


# 4: integrity


def test_bytes_that_are_not_those_of_the_version(proxy: Proxy, model: str, write: Write, tmp_path: Path) -> None:
    cli = Cli(proxy.url)
    cli.does("register", model, write(1000), "--promote", "production")
    proxy.when("GET", "/local-store/", answers(206, b"x" * 1000))
    code, sentence = cli.refusal("download", model, "--dest", tmp_path / "there", status=4)
    assert code == "damaged_download"
    assert sentence.startswith("The bytes that came for 'model.pt' have SHA-256 ")


# unexpected errors


def test_a_defect_is_a_sentence_too(cli: Cli) -> None:
    with mock.patch.object(queries, "connected", side_effect=KeyError("x")):
        assert cli.refusal("list") == (
            "internal_error",
            "Unexpected KeyError: 'x'. MODELKEEP_LOG_LEVEL=DEBUG shows where.",
        )
        with pytest.raises(KeyError):
            Cli(cli.url, {"MODELKEEP_LOG_LEVEL": "DEBUG"})("list")
