"""Whatever sequence of requests comes, every answer is that of a plain-Python registry, on every backend, over HTTP."""

import asyncio
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest
import uvloop
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.api import Api, check_problem, declare, serving
from tests.support.backends import aws_environment, environment, local_environment, prepare_now
from tests.support.reference_registry import (
    Abandon,
    Delete,
    DeleteModel,
    ReferenceRegistry,
    RefusedError,
    RemoveAlias,
    Restore,
    SetAlias,
    Told,
)
from tests.support.reference_registry import Model as KnownModel
from tests.support.servers import AwsServer

BACKENDS: Final = ("local", "ministack", "dynamodb-local")


class Service:
    """The app on one backend, and the event loop that it lives in."""

    def __init__(self, runner: asyncio.Runner, api: Api) -> None:
        self._runner = runner
        self._api = api

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask for a path below `/v1/models`."""
        return self._runner.run(self._api.request(method, f"/models{path}", **options))

    def send(self, signed: Mapping[str, Any], content: bytes = b"") -> httpx.Response:
        """Do what a presigned URL says."""
        return self._runner.run(self._api.send(signed, content))

    def upload(self, begun: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
        """Send what is missing."""
        self._runner.run(self._api.upload(begun, files))


def _variables(backend: str, request: pytest.FixtureRequest) -> dict[str, str]:
    if backend == "local":
        return local_environment(request.getfixturevalue("tmp_path_factory").mktemp("data"))
    variables = aws_environment(request.getfixturevalue("ministack"))
    if backend == "dynamodb-local":
        table: AwsServer = request.getfixturevalue("dynamodb_local")
        return variables | {"AWS_ENDPOINT_URL_DYNAMODB": table.endpoint}
    return variables


@contextmanager
def _serving(variables: Mapping[str, str]) -> Iterator[Service]:
    with environment(variables) as registry:
        prepare_now(registry)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            stack = AsyncExitStack()
            api = runner.run(stack.enter_async_context(serving(registry)))
            try:
                yield Service(runner, api)
            finally:
                runner.run(stack.aclose())


@pytest.fixture(scope="module", params=BACKENDS)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with _serving(_variables(request.param, request)) as service:
        yield service


Place = tuple[int, int]
"""Which of the two models, and a version's number."""

MODELS: Final = st.sampled_from([0, 0, 0, 0, 0, 1])
KEYS: Final = st.sampled_from([None, None, "a", "b"])
COMMENTS: Final[Any] = st.sampled_from([{}, {"comment": "because"}])
ALIASES: Final = ["champion", "canary", "b"]
LIVE: Final[Any] = st.runner().flatmap(lambda machine: st.sampled_from(machine.places("versions")))
BEGUN: Final[Any] = st.runner().flatmap(lambda machine: st.sampled_from(machine.places("uploads")))
TRASHED: Final[Any] = st.runner().flatmap(lambda machine: st.sampled_from(machine.places("trash")))
NEWER: Final[Any] = st.sampled_from([{}, {}, {"only_newer": True}, {"only_newer": False}])
FENCES: Final[Any] = st.runner().flatmap(lambda machine: st.sampled_from(machine.fences()))
NAMED: Final[Any] = st.runner().flatmap(lambda machine: st.sampled_from(machine.named()))
REFS: Final[Any] = st.runner().flatmap(lambda machine: st.sampled_from(machine.refs()))
CONTENTS: Final = st.sampled_from([b"weights", b"", b"other weights" * 50])
FILES: Final = st.dictionaries(st.sampled_from(["model.pt", "config/a b.json", "z+=@.bin"]), CONTENTS, min_size=1)
TEXTS: Final = st.dictionaries(st.sampled_from(["owner", "run"]), st.sampled_from(["1", "ü"]))
NUMBERS: Final = st.dictionaries(st.sampled_from(["f1", "loss"]), st.sampled_from([0.1, -2.5, 1e23]))
SAID: Final = st.fixed_dictionaries(
    {},
    optional={
        "framework": st.just("onnx"),
        "description": st.just("Retrained\non Jan data — ü"),
        "metrics": NUMBERS,
        "tags": TEXTS,
    },
)
UNSAID: Final[Told] = {"description": "", "metrics": {}, "tags": {}}
DESCRIPTION: Final[Any] = {"description": st.sampled_from(["", "new"])}
TAGS_EDIT: Final[Any] = {"tags": st.dictionaries(st.sampled_from(["owner", "run"]), st.sampled_from(["1", "2", None]))}
METRICS_EDIT: Final[Any] = {"metrics": st.dictionaries(st.sampled_from(["f1", "auc"]), st.sampled_from([0.5, None]))}


def _inferred(files: Mapping[str, bytes]) -> str:
    return "pytorch" if len(files) == 1 or "model.pt" in files else "unknown"


class Conversation(RuleBasedStateMachine):
    """One caller, two models, and the reference beside the service."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service
        self._reference = ReferenceRegistry()
        self._names = [f"first-{uuid4().hex[:12]}", f"second-{uuid4().hex[:12]}"]
        self._commits: dict[str, tuple[str, int]] = {}
        self._read = [0, 0]

    # -- what there is to name

    def places(self, kind: str) -> list[Place]:
        """Every number that was ever given, those of one kind (an attribute of the model) more often; and one more."""
        places: list[Place] = []
        for which, model in self._known():
            places += [(which, number) for number in getattr(model, kind)] * 8
            places += [(which, number) for number in range(1, len(model.state.stages) + 2)]
        return [*places, (1, 1)]

    def named(self) -> list[tuple[int, str]]:
        """The aliases that there are, and some that may not be."""
        there = [(which, alias) for which, model in self._known() for alias, _ in model.state.aliases]
        return [(0, "champion"), (0, "canary"), (0, "production"), (1, "champion"), *there * 3]

    def fences(self) -> list[Told]:
        holders = [model.state.production for _, model in self._known()]
        return [{}, {}, *({"expected_production": holder} for holder in [*holders, *holders, None, 1])]

    def refs(self) -> list[tuple[int, str]]:
        named = ["latest", "production", "staging", "archived", "v1", *ALIASES]
        refs = [(0, ref) for ref in named] + [(1, "latest")]
        refs += [(which, str(number)) for which, number in self.places("versions")]
        return refs + [(which, commit) for commit in self._commits for which in (0, 1)]

    def _holder(self, which: int) -> int | None:
        known = self._reference.known(self._names[which])
        return known.state.production if known else None

    def _known(self) -> list[tuple[int, KnownModel]]:
        found = ((which, self._reference.known(name)) for which, name in enumerate(self._names))
        return [(which, model) for which, model in found if model]

    # -- from a registration to a version

    @initialize(count=st.integers(1, 4))
    def start_with(self, count: int) -> None:
        for _ in range(count):
            self.register(0, {"model.pt": b"weights"}, {})

    @rule(which=MODELS, files=FILES, said=SAID, multipart=st.sampled_from([None, None, True]), key=KEYS)
    def begin(
        self, which: int, files: Mapping[str, bytes], said: Told, multipart: bool | None, key: str | None
    ) -> None:
        name = self._names[which]
        body = {"artifacts": declare(files), **said, **({"multipart": True} if multipart else {})}
        self._change(
            "POST",
            f"/{name}/versions",
            body,
            key,
            lambda: self._reference.begin(name, files, {**UNSAID, "framework": _inferred(files), **said}),
            say=lambda number: self._reference.upload(name, number or 0),
            status=201,
        )

    @rule(place=LIVE, which=st.sampled_from([0, 1]), said=SAID, key=KEYS)
    def copy(self, place: Place, which: int, said: Told, key: str | None) -> None:
        (source, number), name = self._place(place), self._names[which]
        self._change(
            "POST",
            f"/{name}/versions",
            {"from": {"model": source, "version": number}, **said},
            key,
            lambda: self._reference.copy(source, number, name, said),
            say=lambda made: self._reference.copied(name, made or 0),
            status=201,
        )

    @rule(place=BEGUN, all_of_it=st.booleans())
    def send(self, place: Place, all_of_it: bool) -> None:
        name, number = self._place(place)
        found = self._upload(place)
        files = self._files(name, number)
        missing = [artifact for artifact in found["artifacts"] if artifact["state"] == "missing"] if found else []
        chosen = missing if all_of_it else missing[:1]
        self._service.upload({**(found or {}), "artifacts": chosen}, files)
        for artifact in chosen:
            self._reference.send(name, number, artifact["path"])
        self._upload(place)

    @rule(place=BEGUN)
    def send_other_bytes_and_the_same_twice(self, place: Place) -> None:
        name, number = self._place(place)
        found = self._upload(place)
        files = self._files(name, number)
        for artifact in found["artifacts"] if found else ():
            if signed := artifact["upload"]:
                content = files[artifact["path"]]
                if content:
                    assert self._service.send(signed, b"!" * len(content)).status_code == 400
                assert self._service.send(signed, content).status_code == 200
                self._reference.send(name, number, artifact["path"])
                assert self._service.send(signed, content).status_code == 412
        self._upload(place)

    @rule(place=BEGUN, key=KEYS)
    def complete(self, place: Place, key: str | None) -> None:
        name, number = self._place(place)
        self._change(
            "POST",
            f"/{name}/versions/{number}/complete",
            None,
            key,
            lambda: self._reference.complete(name, number),
            say=lambda _: self._reference.completed(name, number),
        )

    @rule(which=MODELS, files=FILES, said=SAID)
    def register(self, which: int, files: Mapping[str, bytes], said: Told) -> None:
        self.begin(which, files, said, multipart=None, key=None)
        model = self._reference.known(self._names[which])
        assert model
        number = len(model.state.stages)
        self.send((which, number), all_of_it=True)
        self.complete((which, number), key=None)

    @rule(place=BEGUN, key=KEYS)
    def abandon(self, place: Place, key: str | None) -> None:
        name, number = self._place(place)
        path = f"/{name}/versions/{number}/upload"
        self._change("DELETE", path, None, key, lambda: self._reference.change(name, Abandon(number)), status=204)

    # -- stages and aliases

    @rule(
        place=LIVE,
        stage=st.sampled_from(["production", "production", "staging", "archived"]),
        fence=FENCES,
        newer=NEWER,
        comment=COMMENTS,
        key=KEYS,
    )
    def move(self, place: Place, stage: str, fence: Told, newer: Told, comment: Told, key: str | None) -> None:
        name, number = self._place(place)
        body = {"stage": stage, **fence, **newer, **comment}
        self._change(
            "PUT",
            f"/{name}/versions/{number}/stage",
            body,
            key,
            lambda: self._reference.move(name, number, body),
            say=lambda _: self._reference.version(name, number),
        )

    @rule(
        places=st.lists(LIVE, min_size=2, max_size=4),
        newer=st.sampled_from([{"only_newer": True}, {}]),
        back=st.integers(0, 3),
    )
    def promote_some_and_go_back(self, places: list[Place], newer: Told, back: int) -> None:
        for place in sorted(places, reverse=bool(newer)):
            self.move(place, "production", {}, newer, {}, key=None)
        for _ in range(back):
            self.roll_back(0, {"expected_production": self._holder(0)}, {}, key=None)

    @rule(place=LIVE, stage=st.sampled_from(["archived", "staging"]), back=st.integers(1, 2))
    def step_down_and_come_back(self, place: Place, stage: str, back: int) -> None:
        for each in ("production", stage, "production"):
            self.move(place, each, {}, {}, {}, key=None)
        for _ in range(back):
            self.roll_back(place[0], {"expected_production": self._holder(place[0])}, {}, key=None)

    @rule(which=MODELS, fence=FENCES, comment=COMMENTS, key=KEYS)
    def roll_back(self, which: int, fence: Told, comment: Told, key: str | None) -> None:
        name, body = self._names[which], {**fence, **comment}
        self._change(
            "POST",
            f"/{name}/rollback",
            body,
            key,
            lambda: self._reference.roll_back(name, body, has_key=key is not None),
            say=lambda number: self._reference.version(name, number or 0),
        )

    @rule(place=LIVE, alias=st.sampled_from([*ALIASES, *ALIASES, "latest", "v7"]), comment=COMMENTS, key=KEYS)
    def set_alias(self, place: Place, alias: str, comment: Told, key: str | None) -> None:
        name, number = self._place(place)
        body = {"version": number, **comment}
        self._change(
            "PUT",
            f"/{name}/aliases/{alias}",
            body,
            key,
            lambda: self._reference.change(name, SetAlias(alias, number), body),
            say=lambda _: self._reference.alias(name, alias, number),
        )

    @rule(named=NAMED, key=KEYS)
    def remove_alias(self, named: tuple[int, str], key: str | None) -> None:
        name, alias = self._names[named[0]], named[1]
        path = f"/{name}/aliases/{alias}"
        self._change("DELETE", path, None, key, lambda: self._reference.change(name, RemoveAlias(alias)), status=204)

    # -- edits, the trash

    @rule(which=MODELS, body=st.fixed_dictionaries({}, optional={**DESCRIPTION, "tags": TEXTS}), key=KEYS)
    def create_model(self, which: int, body: Told, key: str | None) -> None:
        name = self._names[which]
        request = ("PUT", f"/{name}", key or "")
        self._change(
            "PUT",
            f"/{name}",
            body,
            key,
            lambda: self._reference.create_model(name, body),
            say=lambda _: self._reference.model(name).told(),
            status=200 if self._reference.is_there(name) or self._reference.is_settled(request) else 201,
        )

    @rule(which=MODELS, body=st.fixed_dictionaries({}, optional=DESCRIPTION | TAGS_EDIT), key=KEYS)
    def edit_model(self, which: int, body: Told, key: str | None) -> None:
        name = self._names[which]
        self._change(
            "PATCH",
            f"/{name}",
            body,
            key,
            lambda: self._reference.edit_model(name, body),
            say=lambda _: self._reference.model(name).told(),
        )

    @rule(place=LIVE, body=st.fixed_dictionaries({}, optional=DESCRIPTION | TAGS_EDIT | METRICS_EDIT), key=KEYS)
    def edit_version(self, place: Place, body: Told, key: str | None) -> None:
        name, number = self._place(place)
        self._change(
            "PATCH",
            f"/{name}/versions/{number}",
            body,
            key,
            lambda: self._reference.edit_version(name, number, body),
            say=lambda _: self._reference.version(name, number),
        )

    @rule(place=LIVE, key=KEYS)
    def delete_version(self, place: Place, key: str | None) -> None:
        name, number = self._place(place)
        path = f"/{name}/versions/{number}"
        self._change("DELETE", path, None, key, lambda: self._reference.change(name, Delete(number)), status=204)

    @rule(place=TRASHED, key=KEYS)
    def restore(self, place: Place, key: str | None) -> None:
        name, number = self._place(place)
        self._change(
            "POST",
            f"/{name}/versions/{number}/restore",
            None,
            key,
            lambda: self._reference.change(name, Restore(number)),
            say=lambda _: self._reference.version(name, number),
        )

    @rule(place=LIVE, stage=st.sampled_from(["archived", "staging"]))
    def delete_and_restore(self, place: Place, stage: str) -> None:
        self.move(place, stage, {}, {}, {}, key=None)
        self.delete_version(place, key=None)
        self.restore(place, key=None)

    @precondition(lambda self: any(model.versions for _, model in self._known()))
    @rule(which=MODELS, tags=TAGS_EDIT["tags"], then=st.sampled_from(["begin", "restore", "begin and restore"]))
    def give_up_a_model_and_come_back(self, which: int, tags: Told, then: str) -> None:
        """Deleting is tried at each step: with a production version, with aliases alone, and with neither."""
        self.edit_model(which, {"description": "new", "tags": tags}, key=None)
        known = self._reference.known(self._names[which])
        numbers = sorted(known.versions) if known else []
        if numbers:
            self.set_alias((which, numbers[-1]), "champion", {}, key=None)
        self.delete_model(which, key=None)
        if holder := self._holder(which):
            self.move((which, holder), "archived", {}, {}, {}, key=None)
            self.delete_model(which, key=None)
        for alias, _ in known.state.aliases if known else ():
            self.remove_alias((which, alias), key=None)
        self.delete_model(which, key=None)
        if "begin" in then:
            self.begin(which, {"model.pt": b"weights"}, {}, multipart=None, key=None)
        for number in numbers[-2:] if "restore" in then else []:
            self.restore((which, number), key=None)

    @precondition(lambda self: any(model.trash for _, model in self._known()))
    @rule(which=MODELS, key=KEYS)
    def delete_model(self, which: int, key: str | None) -> None:
        name = self._names[which]
        self._change("DELETE", f"/{name}", None, key, lambda: self._reference.change(name, DeleteModel()), status=204)

    # -- reads

    @rule(named=REFS)
    def read(self, named: tuple[int, str]) -> None:
        name, ref = self._names[named[0]], named[1]
        answer = self._expect("GET", f"/{name}/versions/{ref}", lambda: self._version(name, ref))
        if answer:
            told = answer.json()
            for artifact in told["artifacts"]:
                found = self._service.ask("GET", f"/{name}/versions/{ref}/artifacts/{artifact['path']}")
                assert found.status_code == 307
                self._hold_bytes(name, told["version"], artifact["path"], {"url": found.headers["location"]})

    @rule(named=REFS, known=st.sampled_from(["", "right", "wrong", "*"]))
    def download(self, named: tuple[int, str], known: str) -> None:
        name, ref = self._names[named[0]], named[1]
        path = f"/{name}/versions/{ref}/download"
        answer = self._expect("GET", path, lambda: self._located(name, ref))
        if answer is None:
            return
        told = answer.json()
        tag = f'"{told["commit"]}"'
        assert answer.headers["etag"] == tag
        for artifact in told["artifacts"]:
            self._hold_bytes(name, told["version"], artifact["path"], artifact)
        tags = {"right": f'"{"0" * 40}", W/{tag}', "wrong": f'"{"0" * 40}"', "*": "*"}
        if known:
            again = self._service.ask("GET", path, headers={"if-none-match": tags[known]})
            assert again.status_code == (200 if known == "wrong" else 304)
            assert (again.content == b"") == (known != "wrong")
            assert again.headers["etag"] == tag

    @rule(which=MODELS, stage=st.sampled_from([None, "staging", "production", "archived"]), limit=st.integers(1, 3))
    def list_versions(self, which: int, stage: str | None, limit: int) -> None:
        name = self._names[which]
        expected = self._told_versions(name, stage)
        query: dict[str, Any] = {"limit": limit} | ({"stage": stage} if stage else {})
        found: list[Told] = []
        for _ in range(100):
            answer = self._service.ask("GET", f"/{name}/versions", params=query)
            if expected is None:
                check_problem(answer, 404, "model_not_found")
                return
            assert answer.status_code == 200, answer.text
            found += answer.json()["items"]
            if not (cursor := answer.json()["next_cursor"]):
                break
            query["cursor"] = cursor
        self._hold_all(found, expected or [])

    @rule(place=BEGUN)
    def read_upload(self, place: Place) -> None:
        self._upload(place)

    # -- what holds after every step

    @invariant()
    def nothing_else_has_happened(self) -> None:
        """Every change moves a model's generation: so what is refused or only read has changed nothing."""
        for which, _ in self._known():
            name = self._names[which]
            self._expect("GET", f"/{name}", functools.partial(self._told_model, name))

    @invariant()
    def whatever_happened_is_told_once_and_production_is_what_the_reference_says(self) -> None:
        for which, known in self._known():
            name, read = self._names[which], self._read[which]
            if read < len(known.events):
                self._hold_all(self._events(which, after=read), known.events[read:])
                self._read[which] = len(known.events)
                self.list_versions(which, None, limit=100)
                told = functools.partial(self._version, name, "production")
                answer = self._expect("GET", f"/{name}/versions/production", told)
                assert (answer.json()["version"] if answer else None) == known.state.production

    def teardown(self) -> None:
        """At the end all is read once more, from the beginning."""
        for which, known in self._known():
            events = self._events(which, after=0)
            self._hold_all(events, known.events)
            assert [event["generation"] for event in events] == list(range(1, len(events) + 1))
            self.list_versions(which, "archived", limit=2)
            for number in known.versions:
                self.download((which, str(number)), known="")

    # -- asking, and holding an answer against the reference

    def _change(
        self,
        method: str,
        path: str,
        body: Any,
        key: str | None,
        act: Callable[[], int | None],
        *,
        say: Callable[[int | None], Told] = lambda _: {},
        status: int = 200,
    ) -> None:
        request = (method, path, key) if key else None
        headers = {"idempotency-key": key} if key else {}
        options: dict[str, Any] = {"headers": headers} | ({} if body is None else {"json": body})
        said = json.dumps(body)
        self._expect(method, path, lambda: self._reference.once(request, said, act, say), status=status, **options)

    def _expect(
        self, method: str, path: str, expected: Callable[[], Told], *, status: int = 200, **options: Any
    ) -> httpx.Response | None:
        """Ask; hold the answer against what the reference says, and return it unless both refuse."""
        try:
            told = expected()
        except RefusedError as refusal:
            found = check_problem(self._service.ask(method, path, **options), refusal.status, refusal.told["code"])
            _hold(_seen(found), refusal.told)
            return None
        answer = self._service.ask(method, path, **options)
        assert answer.status_code == status, answer.text
        found = answer.json() if answer.content else {}
        _hold(_seen(found), told)
        self._note_commit(found)
        return answer

    def _hold_all(self, found: list[Told], expected: list[Told]) -> None:
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _hold(one, other)
            self._note_commit(one)

    def _hold_bytes(self, name: str, number: int, path: str, signed: Mapping[str, Any]) -> None:
        answer = self._service.send({"method": "GET", "headers": {}, **signed})
        assert answer.status_code == 200, answer.text
        assert answer.content == self._files(name, number)[path]

    def _note_commit(self, told: Told) -> None:
        """A commit names one version, and a version has one commit, whatever happens to it."""
        if "commit" in told:
            version = (told["model"], told["version"])
            assert self._commits.setdefault(told["commit"], version) == version
            assert list(self._commits.values()).count(version) == 1

    def _upload(self, place: Place) -> Any:
        name, number = self._place(place)
        path = f"/{name}/versions/{number}/upload"
        answer = self._expect("GET", path, lambda: self._reference.upload(name, number))
        return answer.json() if answer else None

    def _events(self, which: int, *, after: int) -> list[Told]:
        found: list[Told] = []
        query: dict[str, Any] = {"after": after, "limit": 100}
        while True:
            answer = self._service.ask("GET", f"/{self._names[which]}/events", params=query)
            assert answer.status_code == 200, answer.text
            found += answer.json()["items"]
            if not (cursor := answer.json()["next_cursor"]):
                return found
            query["cursor"] = cursor

    def _told_model(self, name: str) -> Told:
        return self._reference.model(name).told()

    def _version(self, name: str, ref: str) -> Told:
        return self._reference.version(name, self._reference.resolve(name, ref, self._commits))

    def _located(self, name: str, ref: str) -> Told:
        told = self._version(name, ref)
        same = {field: told[field] for field in ("model", "version", "stage", "framework", "artifacts")}
        return {**same, "generation": self._reference.model(name).told()["generation"]}

    def _told_versions(self, name: str, stage: str | None) -> list[Told] | None:
        model = self._reference.known(name)
        return [model.told_of(n) for n in model.in_stage(stage)] if model and not model.state.is_deleted else None

    def _place(self, place: Place) -> tuple[str, int]:
        return self._names[place[0]], place[1]

    def _files(self, name: str, number: int) -> Mapping[str, bytes]:
        model = self._reference.known(name)
        return model.contents[number].files if model and number in [*model.uploads, *model.versions] else {}


def _seen(found: Told) -> Told:
    """An answer, with what the reference says in another form."""
    artifacts, missing = found.get("artifacts", ()), found.get("missing", ())
    states = {artifact["path"]: artifact["state"] for artifact in artifacts if "state" in artifact}
    return {**found, "states": states, "paths": sorted(artifact["path"] for artifact in missing)}


def _hold(found: Any, expected: Any) -> None:
    """What the reference says is what was answered; the service may say more."""
    assert _same(found, expected), f"answered: {found}\nexpected: {expected}"


def _same(found: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return expected.keys() <= found.keys() and all(
            found[name] == value or (name == "artifacts" and _same(found[name], value))
            for name, value in expected.items()
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(_same, found, expected))
    return bool(found == expected)


def _run(service: Service, *, examples: int, steps: int, repeatable: bool) -> None:
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=repeatable,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    conversation: Any = functools.partial(Conversation, service)
    run_state_machine_as_test(conversation, settings=chosen)


@pytest.mark.timeout(600)
def test_every_answer_is_that_of_the_reference(service: Service, request: pytest.FixtureRequest) -> None:
    examples = 20 if request.node.callspec.params["service"] == "local" else 3
    _run(service, examples=examples, steps=30, repeatable=True)


@pytest.mark.thorough
@pytest.mark.timeout(3 * 3600)
def test_every_answer_is_that_of_the_reference_for_long(service: Service, request: pytest.FixtureRequest) -> None:
    examples = 500 if request.node.callspec.params["service"] == "local" else 100
    _run(service, examples=examples, steps=50, repeatable=False)
