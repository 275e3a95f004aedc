"""The manual's pages on access, CI and Kubernetes: rules, jobs, pods and commands run, with issuers on loopback.

Of the rules only addresses are replaced: the issuers' by those on loopback, the registry's by its own.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from modelkeep.client import RegistryClient
from modelkeep.domain.access.actions import ROLES, Action
from modelkeep.domain.access.trust import IssuerKind
from modelkeep.domain.errors import ActionForbiddenError
from modelkeep.domain.values import UNSET
from modelkeep.schemas.downloads import DownloadResponse
from tests.support.backends import local_environment
from tests.support.identities import ANYWHERE, AskingRegistry, asking_registry, github
from tests.support.issuers import IssuerServer, issuer_server, signing_key
from tests.support.pages import manual
from tests.support.programs import EXECUTABLE, clean_environment, operate

ACCESS: Final = manual("access")
CI: Final = manual("ci")
KUBERNETES: Final = manual("kubernetes-and-ecs")
MODEL: Final = "fraud-detector"
WEIGHTS: Final = bytes(range(256)) * 5000
KINDS: Final = {"jenkins": IssuerKind.OIDC, "cluster": IssuerKind.KUBERNETES}
"""Issuers that the page does not call by their kind."""

CLAIMS: Final[Mapping[str, Mapping[str, Any]]] = {
    "aws": {"sub": "arn:aws:iam::123456789012:role/fraud-batch"},
    "jenkins": {"sub": "https://ci.example.com/job/fraud/job/train", "key": signing_key("RS256")},
}
"""What distinguishes the page's callers from those of the tests of identities."""


@pytest.fixture(scope="module")
def rules() -> dict[str, Any]:
    (block,) = ACCESS.blocks("toml")
    return tomllib.loads(block)


@pytest.fixture(scope="module")
def issuers(rules: dict[str, Any]) -> Iterator[Mapping[str, IssuerServer]]:
    """Every issuer of the page."""
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(issuer_server(KINDS.get(name) or IssuerKind(name))) for name in rules["issuers"]
        }
        servers["jenkins"].keys.append(signing_key("RS256").jwk())
        yield servers


@pytest.fixture
def registry(rules: dict[str, Any], issuers: Mapping[str, IssuerServer], tmp_path: Path) -> Iterator[AskingRegistry]:
    """A registry under the rules of the page."""
    on_loopback = {
        name: {"kind": entry["kind"], "audience": entry["audience"], "url": issuers[name].url}
        for name, entry in rules["issuers"].items()
    }
    with asking_registry(tmp_path / "registry", {**rules, "issuers": on_loopback}) as registry:
        yield registry


def token_of(issuers: Mapping[str, IssuerServer], name: str, registry: AskingRegistry, **claims: Any) -> str:
    return issuers[name].token(**{"aud": registry.url, **CLAIMS.get(name, {}), **claims})


def run(
    command: Sequence[str], folder: Path, registry: AskingRegistry, variables: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Run with the program on the path and the registry's address in the place of the page's."""
    path = f"{folder}:{Path(EXECUTABLE).parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = {name: value.replace(ANYWHERE, registry.url) for name, value in variables.items()}
    return subprocess.run(
        [word.replace(ANYWHERE, registry.url) for word in command],
        cwd=folder,
        env=clean_environment({"PATH": path, **own}),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The folder of a job, with what training left behind."""
    folder = tmp_path / "job"
    (folder / "checkpoint" / "model").mkdir(parents=True)
    (folder / "checkpoint" / "model" / "weights.bin").write_bytes(WEIGHTS)
    (folder / "checkpoint" / "model" / "tokenizer.json").write_text("{}")
    (folder / "checkpoint" / "metrics.json").write_text('{"accuracy": 0.967}')
    return folder


@pytest.fixture
def production(registry: AskingRegistry, issuers: Mapping[str, IssuerServer], checkpoint: Path) -> None:
    """There is a version in production."""
    with RegistryClient(registry.url, token=token_of(issuers, "gitlab", registry)) as gitlab:
        version = gitlab.register(MODEL, checkpoint / "checkpoint" / "model")
        gitlab.promote(MODEL, version.version)


def read_production(registry: AskingRegistry, issuers: Mapping[str, IssuerServer]) -> DownloadResponse:
    with RegistryClient(registry.url, token=token_of(issuers, "cluster", registry)) as pod:
        return pod.get_download_urls(MODEL)


# rules


def test_roles_are_those_of_the_program() -> None:
    told = {role: set(allows.replace("`", "").split()) for role, allows in ACCESS.table("role") if role != "admin"}
    assert told == {role: set(actions) for role, actions in ROLES.items() if role != "admin"}
    assert ROLES["admin"] == set(Action)
    assert [role for role, _ in ACCESS.table("role")] == list(ROLES)


def test_the_rules_can_be_used_as_they_stand_and_nothing_is_to_be_warned_of(
    rules: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "access.toml").write_text(ACCESS.blocks("toml")[0])
    variables = local_environment(tmp_path / "data")
    commands = [line for block in ACCESS.blocks("console") for line in block.splitlines() if " access.toml" in line]
    assert len(commands) == 2
    for command in commands:
        words = command.removeprefix("uv run modelkeep ").replace("access.toml", str(tmp_path / "access.toml"))
        said = operate(variables, *words.split(), *(["--direct"] if " set " in command else []))
        assert (said.status, said.err) == (0, [])
    shown = "\n".join(operate(variables, "access", "show", "--direct").out)
    assert set(json.loads(shown)["issuers"]) == set(tomllib.loads(ACCESS.blocks("toml")[0])["issuers"])


@pytest.mark.parametrize(
    ("issuer", "claims", "rule"),
    [
        ("github", {"environment": UNSET}, "fraud-train"),
        ("github", {"job_workflow_ref": "acme/fraud/.github/workflows/other.yml@refs/heads/main"}, "fraud-release"),
        ("gitlab", {}, "fraud-gitlab"),
        ("cluster", {}, "fraud-serving"),
        ("aws", {}, "fraud-batch"),
        ("jenkins", {}, "fraud-jenkins"),
    ],
)
def test_each_rule_speaks_of_its_own_and_of_nobody_else(
    registry: AskingRegistry,
    issuers: Mapping[str, IssuerServer],
    rules: dict[str, Any],
    issuer: str,
    claims: dict[str, Any],
    rule: str,
    tmp_path: Path,
) -> None:
    token = tmp_path / "token"
    token.write_text(token_of(issuers, issuer, registry, **claims))
    (line,) = (line for block in ACCESS.blocks("console") for line in block.splitlines() if "access explain" in line)
    words = line.removeprefix("uv run modelkeep ").replace("--token-file token", f"--token-file {token}").split()
    variables = local_environment(registry.settings.data_dir) | {
        "MODELKEEP_ACCESS_FILE": str(registry.settings.access_file)
    }
    said = operate(variables, *words, "--direct")
    (allow,) = (each["allow"] for each in rules["rules"] if each["id"] == rule)
    assert said.status == (0 if "promoter" in allow else 1)
    assert re.findall(r"Rule '([a-z-]+)' matches", "\n".join(said.out)) == [rule]


def test_tokens_are_made_listed_and_revoked(registry: AskingRegistry) -> None:
    lines = [
        line.removeprefix("uv run modelkeep ").replace("'", "").split()
        for block in ACCESS.blocks("console")
        for line in block.splitlines()
        if line.startswith("uv run modelkeep token ")
    ]
    first, create, listing, revoke = lines
    (admin,) = operate(local_environment(registry.settings.data_dir), *first).out
    variables = {"MODELKEEP_URL": registry.url, "MODELKEEP_TOKEN": admin}
    assert operate(variables, *create).out[0].startswith("mr_")
    (made,) = [line for line in operate(variables, *listing).out if line.split()[1] == "ci"]
    assert made.endswith("publisher on fraud-*")
    assert operate(variables, *revoke[:2], made.split()[0]).status == 0
    (made,) = [line for line in operate(variables, *listing).out if line.split()[1] == "ci"]
    assert " revoked " in made


# jobs


def test_github_actions_register_and_promote_without_a_secret(
    registry: AskingRegistry, issuers: Mapping[str, IssuerServer], checkpoint: Path
) -> None:
    assert "secrets." not in CI.blocks("yaml")[0]
    for name in ("register", "register", "promote"):
        run_job(name, registry, issuers, checkpoint)
    located = read_production(registry, issuers)
    assert (located.version, located.framework) == (1, "pytorch")
    with RegistryClient(registry.url, token=token_of(issuers, "cluster", registry)) as pod:
        version, history = pod.get_version(MODEL, 1), pod.list_events(MODEL)
    assert version.tags["run_url"] == "https://github.com/acme/fraud/actions/runs/8841"
    assert [event.rule for event in history] == ["fraud-train", "fraud-train", "fraud-release"]


def run_job(name: str, registry: AskingRegistry, issuers: Mapping[str, IssuerServer], folder: Path) -> None:
    """Run the step of a job that runs something, as the identity that GitHub gives the job."""
    workflow = CI.document("jobs")
    job = workflow["jobs"][name]
    assert job["permissions"] == {"id-token": "write"}
    (step,) = (step for step in job["steps"] if "run" in step)

    def sign(audience: str) -> str:
        return token_of(issuers, "github", registry, aud=audience, environment=job.get("environment", UNSET))

    told = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_RUN_ID": "8841",
        "GITHUB_REPOSITORY": "acme/fraud",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_SHA": "1f3e5a7" + "0" * 33,
        "GITHUB_REF_NAME": "main",
        "GITHUB_OUTPUT": str(folder / "output"),
    }
    with github(sign) as forge:
        variables = workflow["env"] | told | {"GITHUB_JOB": name} | forge.variables | _given(step, folder)
        ended = run([step["shell"], "-e", "-c", step["run"]], folder, registry, variables)
    assert ended.returncode == 0, ended.stderr
    assert forge.audiences == [registry.url]


def _given(step: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """The step's own variables, with what an earlier job has put out."""
    output = folder / "output"
    put_out = dict(line.split("=", 1) for line in output.read_text().splitlines()) if output.exists() else {}
    return {
        name: re.sub(r"\$\{\{ needs\.register\.outputs\.(\w+) \}\}", lambda found: put_out[found[1]], value)
        for name, value in step.get("env", {}).items()
    }


@pytest.mark.usefixtures("production")
def test_the_job_that_registers_cannot_promote(registry: AskingRegistry, issuers: Mapping[str, IssuerServer]) -> None:
    with RegistryClient(registry.url, token=token_of(issuers, "github", registry, environment=UNSET)) as job:
        with pytest.raises(ActionForbiddenError):
            job.promote(MODEL, 1, "archived")
        with pytest.raises(ActionForbiddenError):
            job.register("another-model", Path(__file__))


def test_gitlab(registry: AskingRegistry, issuers: Mapping[str, IssuerServer], checkpoint: Path) -> None:
    job = CI.document("register")["register"]
    told = {
        "GITLAB_CI": "true",
        "CI_PIPELINE_ID": "77",
        "CI_JOB_NAME": "register",
        "CI_JOB_URL": "https://gitlab.com/acme/fraud/-/jobs/5",
        "CI_COMMIT_SHA": "2" * 40,
    }
    identities = {
        name: token_of(issuers, "gitlab", registry, aud=token["aud"].replace(ANYWHERE, registry.url))
        for name, token in job["id_tokens"].items()
    }
    for _ in range(2):
        variables = told | job["variables"] | identities
        ended = run(["sh", "-e", "-c", "\n".join(job["script"])], checkpoint, registry, variables)
        assert ended.returncode == 0, ended.stderr
    assert read_production(registry, issuers).version == 1


@pytest.mark.usefixtures("production")
def test_a_role_of_aws(registry: AskingRegistry, issuers: Mapping[str, IssuerServer], tmp_path: Path) -> None:
    """A stand-in for the program `aws` gives what STS would, for the very request of the page."""
    token = token_of(issuers, "aws", registry)
    wanted = (
        f"sts get-web-identity-token --audience {registry.url} --signing-algorithm ES384 --duration-seconds 900"
        " --query WebIdentityToken --output text"
    )
    (tmp_path / "aws").write_text(f'#!/bin/sh\n[ "$*" = "{wanted}" ] && echo "{token}"\n')
    (tmp_path / "aws").chmod(0o755)
    ended = run(["bash", "-euo", "pipefail", "-c", CI.blocks("bash aws")[0]], tmp_path, registry, {})
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "models" / MODEL / "weights.bin").read_bytes() == WEIGHTS


# a pod


@pytest.fixture
def pod(registry: AskingRegistry, issuers: Mapping[str, IssuerServer], tmp_path: Path) -> dict[str, Any]:
    """The page's pod, with what the kubelet mounts into it."""
    deployment = yaml.safe_load(json.dumps(KUBERNETES.document("fraud-service")).replace(ANYWHERE, registry.url))
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    account = f"system:serviceaccount:{deployment['metadata']['namespace']}:{pod['serviceAccountName']}"
    (volume,) = (volume for volume in pod["volumes"] if "projected" in volume)
    (source,) = (source["serviceAccountToken"] for source in volume["projected"]["sources"])
    (mount,) = (mount for mount in pod["initContainers"][0]["volumeMounts"] if mount["name"] == volume["name"])
    file = tmp_path / mount["mountPath"].strip("/") / source["path"]
    file.parent.mkdir(parents=True)
    claims = issuers["cluster"].claims()
    file.write_text(
        issuers["cluster"].token(aud=[source["audience"]], sub=account, exp=claims["iat"] + source["expirationSeconds"])
    )
    return pod


@pytest.mark.usefixtures("production")
def test_an_init_container_fetches_production_by_its_projected_token(
    registry: AskingRegistry, pod: dict[str, Any], tmp_path: Path
) -> None:
    (container,) = pod["initContainers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts["models"] == pod["containers"][0]["volumeMounts"][0]["mountPath"] == "/models"
    assert not pod["automountServiceAccountToken"], "the token for the API server is nothing for it"
    variables = {each["name"]: each["value"] for each in container["env"]}
    variables["MODELKEEP_TOKEN_FILE"] = f"{tmp_path}{variables['MODELKEEP_TOKEN_FILE']}"
    arguments = [word.replace("/models", f"{tmp_path}/models") for word in container["args"]]
    for _ in range(2):
        ended = run(["modelkeep", *arguments], tmp_path, registry, variables)
        assert (ended.returncode, ended.stdout) == (0, f"{tmp_path}/models/{MODEL}\n"), ended.stderr
    assert (tmp_path / "models" / MODEL / "weights.bin").read_bytes() == WEIGHTS


@pytest.mark.usefixtures("production")
def test_curl_alone_does_it_with_the_same_file_and_tells_storage_nothing(
    registry: AskingRegistry, pod: dict[str, Any], tmp_path: Path
) -> None:
    (script,) = (script for script in KUBERNETES.blocks("sh entrypoint") if "curl" in script)
    (variable,) = (each for each in pod["initContainers"][0]["env"] if each["name"] == "MODELKEEP_TOKEN_FILE")
    variables = {
        "MODELKEEP_URL": registry.url,
        "MODEL_DIR": str(tmp_path / "models"),
        "MODELKEEP_TOKEN_FILE": f"{tmp_path}{variable['value']}",
    }
    registry.storage.reset()
    ended = run(["sh", "-c", script, "sh", "true"], tmp_path, registry, variables)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "models" / "weights.bin").read_bytes() == WEIGHTS
    token = Path(variables["MODELKEEP_TOKEN_FILE"]).read_text()
    assert set(registry.tokens_shown()[-3:]) == {token}
    assert len(registry.storage.seen) == 2
    for request in registry.storage.seen:
        assert token not in f"{request.target} {request.headers}"
    Path(variables["MODELKEEP_TOKEN_FILE"]).write_text("mr_wrong")
    refused = run(["sh", "-c", script, "sh", "echo", "serving"], tmp_path, registry, variables)
    assert "error: 401" in refused.stderr
    assert (refused.returncode != 0, refused.stdout) == (True, "")
