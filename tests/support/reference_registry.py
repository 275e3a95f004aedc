"""What the registry promises, in plain Python: the one oracle of histories, the state machine and journeys.

The rules of a model are pure: `request.at(state)` is what comes of a request, one after another. A `State` can be
hashed and compared, so that a search over the orders of requests may hold many. `ReferenceRegistry` has what the rules
do not look at beside it: files, texts, the log of events, and Idempotency-Keys. Nothing here knows how the service does
it: the latest version is the highest number that there is, and a generation is the length of the log.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, NamedTuple

from tests.support.api import declare

UPLOADING: Final = "uploading"
STAGING: Final = "staging"
PRODUCTION: Final = "production"
ARCHIVED: Final = "archived"
GONE: Final = "gone"
TRASHED: Final = {STAGING: "trashed in staging", ARCHIVED: "trashed in archived"}
RESTORED: Final = {trashed: stage for stage, trashed in TRASHED.items()}

LONGEST_HISTORY: Final = 20
"""Versions that held production before, as many as a rollback can still reach."""

RESERVED: Final = {"latest", "main", PRODUCTION, STAGING, ARCHIVED, "none", "v7"}
"""Aliases that nothing may have, as far as they are asked for here."""


class NoPrecondition(NamedTuple):
    """The production version is not asked about."""


NO_PRECONDITION: Final = NoPrecondition()
Expected = int | NoPrecondition | None

Told = Mapping[str, Any]


class State(NamedTuple):
    """A model: what each number is, from 1; who was production before, the latest last; and its aliases, by name.

    `moved` are the numbers that were ever moved to a stage.
    """

    generation: int = 0
    stages: tuple[str, ...] = ()
    history: tuple[int, ...] = ()
    aliases: tuple[tuple[str, int], ...] = ()
    is_deleted: bool = False
    moved: frozenset[int] = frozenset()

    @property
    def production(self) -> int | None:
        return self.stages.index(PRODUCTION) + 1 if PRODUCTION in self.stages else None

    @property
    def latest(self) -> int | None:
        return max((number for number in range(1, len(self.stages) + 1) if self.has(number)), default=None)

    def stage(self, number: int) -> str:
        """What is under a number."""
        return self.stages[number - 1] if 0 < number <= len(self.stages) else GONE

    def has(self, number: int) -> bool:
        """Whether there is a complete version of this number."""
        return self.stage(number) in {STAGING, PRODUCTION, ARCHIVED}

    def numbers(self, *stages: str) -> list[int]:
        """The numbers in these stages, newest first."""
        return [number for number in range(len(self.stages), 0, -1) if self.stage(number) in stages]

    def aliases_of(self, number: int) -> list[str]:
        """The aliases of a version, by name."""
        return [alias for alias, named in self.aliases if named == number]

    def named(self, ref: str) -> int | None:
        """The version that answers to a ref: a number, a name of the registry's own, or an alias."""
        if ref.removeprefix("v").isdigit():
            return int(ref.removeprefix("v"))
        own = {"latest": self.latest, PRODUCTION: self.production, STAGING: next(iter(self.numbers(STAGING)), None)}
        return own[ref] if ref in own else dict(self.aliases).get(ref)

    def then(self, stages: Mapping[int, str], *, events: int = 1, **others: Any) -> "State":
        """So many events later, with other things under these numbers."""
        changed = tuple(stages.get(number, stage) for number, stage in enumerate(self.stages, 1))
        return self._replace(generation=self.generation + events, stages=changed, **others)

    def with_production(self, number: int, history: tuple[int, ...]) -> "State":
        """One event later, with this version in production, and the holder archived."""
        holder = self.production
        archived = {} if holder is None else {holder: ARCHIVED}
        return self.then(
            {**archived, number: PRODUCTION}, history=history[-LONGEST_HISTORY:], moved=self.moved | {number}
        )


class Outcome(NamedTuple):
    """The state after a request, what the answer says (`code`: of the problem, or None), and the events it made.

    A refusal leaves the state as it is.
    """

    state: State
    told: Told
    events: tuple[Told, ...] = ()


def _done(state: State, *events: Told, **told: Any) -> Outcome:
    return Outcome(state, {"code": None, **told}, events)


def _refused(state: State, code: str, **told: Any) -> Outcome:
    return Outcome(state, {"code": code, **told})


def _event(kind: str, number: int | None = None, **fields: Any) -> Told:
    return {"type": kind, "version": number, **fields}


class Request:
    """What can be asked of a model that is there."""

    is_read: ClassVar[bool] = False

    def at(self, state: State) -> Outcome:
        """What comes of it now."""
        return self._at(state) if state.generation and not state.is_deleted else _refused(state, "model_not_found")

    def _at(self, state: State) -> Outcome:
        raise NotImplementedError


def _absent(state: State, number: int) -> Outcome:
    return _refused(state, "version_not_found", ref=str(number))


def _production_changed(state: State, expected: Expected) -> Outcome | None:
    if isinstance(expected, NoPrecondition) or expected == state.production:
        return None
    return _refused(state, "production_changed", expected=expected, holder=state.production)


@dataclass(frozen=True)
class Create(Request):
    """Make the model without versions, or make it anew; `is_new` says whether it was not there."""

    def at(self, state: State) -> Outcome:
        if state.generation and not state.is_deleted:
            return _done(state)
        return _done(state._replace(generation=state.generation + 1, is_deleted=False), _event("model_created"))


@dataclass(frozen=True)
class Begin(Request):
    """Reserve the next number; the first one makes the model, or makes it anew."""

    def at(self, state: State) -> Outcome:
        number = len(state.stages) + 1
        begun = state._replace(generation=state.generation + 1, stages=(*state.stages, UPLOADING), is_deleted=False)
        return _done(begun, _event("upload_begun", number), version=number)


@dataclass(frozen=True)
class CopyHere(Request):
    """Make the next version of the objects of a version that is there, of this model or another."""

    of: str

    def at(self, state: State) -> Outcome:
        number = len(state.stages) + 1
        copied = state._replace(generation=state.generation + 1, stages=(*state.stages, STAGING), is_deleted=False)
        return _done(copied, _event("version_completed", number, **{"from": self.of, "to": STAGING}), version=number)


@dataclass(frozen=True)
class Complete(Request):
    """Make a version of an upload whose bytes have arrived."""

    number: int

    def _at(self, state: State) -> Outcome:
        if state.stage(self.number) == UPLOADING:
            event = _event("version_completed", self.number, to=STAGING)
            return _done(state.then({self.number: STAGING}), event, version=self.number)
        if state.has(self.number):
            return _done(state, version=self.number)
        return _refused(state, "upload_not_found", version=self.number)


@dataclass(frozen=True)
class Abandon(Request):
    """Give an upload up."""

    number: int

    def _at(self, state: State) -> Outcome:
        if state.stage(self.number) != UPLOADING:
            return _refused(state, "upload_not_found", version=self.number)
        return _done(state.then({self.number: GONE}), _event("upload_abandoned", self.number))


@dataclass(frozen=True)
class Move(Request):
    """Put a version into a stage."""

    number: int
    stage: str
    expected: Expected = NO_PRECONDITION
    only_newer: bool = False

    def _at(self, state: State) -> Outcome:
        if not state.has(self.number):
            return _absent(state, self.number)
        told = {"version": self.number, "stage": self.stage, "aliases": state.aliases_of(self.number)}
        before, holder = state.stage(self.number), state.production
        if before == self.stage and (self.number in state.moved or self.stage != STAGING):
            return _done(state, **told)
        if refusal := _production_changed(state, self.expected):
            return refusal
        event = _event("stage_changed", self.number, **{"from": before, "to": self.stage, "replaced": None})
        if self.stage != PRODUCTION:
            left = (*state.history, self.number) if holder == self.number else state.history
            moved = state.moved | {self.number}
            after = state.then({self.number: self.stage}, history=left[-LONGEST_HISTORY:], moved=moved)
            return _done(after, event, **told)
        if self.only_newer and holder is not None and self.number < holder:
            return _refused(state, "not_newer", version=self.number, holder=holder)
        history = state.history if holder is None else (*state.history, holder)
        history = history[:-1] if history[-1:] == (self.number,) else history
        return _done(state.with_production(self.number, history), {**event, "replaced": holder}, **told)


@dataclass(frozen=True)
class RollBack(Request):
    """Give production back to the version that held it before."""

    expected: Expected = NO_PRECONDITION

    def _at(self, state: State) -> Outcome:
        if refusal := _production_changed(state, self.expected):
            return refusal
        if not state.history:
            return _refused(state, "no_earlier_production")
        *history, number = state.history
        said = {"from": state.stage(number), "to": PRODUCTION, "replaced": state.production}
        return _done(
            state.with_production(number, tuple(history)), _event("rolled_back", number, **said), version=number
        )


@dataclass(frozen=True)
class SetAlias(Request):
    """Let an alias name a version."""

    alias: str
    number: int

    def _at(self, state: State) -> Outcome:
        if not state.has(self.number):
            return _absent(state, self.number)
        if self.alias in RESERVED:
            return _refused(state, "alias_reserved", alias=self.alias)
        aliases = dict(state.aliases)
        before = aliases.get(self.alias)
        if before == self.number:
            return _done(state, version=self.number)
        aliases[self.alias] = self.number
        said = {"alias": self.alias, "from": None if before is None else str(before), "to": str(self.number)}
        after = state.then({}, aliases=tuple(sorted(aliases.items())))
        return _done(after, _event("alias_set", self.number, **said), version=self.number)


@dataclass(frozen=True)
class RemoveAlias(Request):
    """Take an alias away."""

    alias: str

    def _at(self, state: State) -> Outcome:
        aliases = dict(state.aliases)
        number = aliases.pop(self.alias, None)
        if number is None:
            return _refused(state, "alias_not_found", alias=self.alias)
        event = _event("alias_removed", number, alias=self.alias, **{"from": str(number)})
        return _done(state.then({}, aliases=tuple(sorted(aliases.items()))), event)


@dataclass(frozen=True)
class Edit(Request):
    """Change what is said of a version, or of the model; if it `changes` nothing, nothing is written."""

    number: int | None
    changes: bool

    def _at(self, state: State) -> Outcome:
        if self.number is not None and not state.has(self.number):
            return _absent(state, self.number)
        event = _event("model_edited" if self.number is None else "version_edited", self.number)
        return _done(state.then({}), event) if self.changes else _done(state)


@dataclass(frozen=True)
class Delete(Request):
    """Put a version into the trash."""

    number: int

    def _at(self, state: State) -> Outcome:
        if not state.has(self.number):
            return _absent(state, self.number)
        stage, aliases = state.stage(self.number), state.aliases_of(self.number)
        if aliases or stage == PRODUCTION:
            return _refused(state, "version_in_use", version=self.number, stage=stage, aliases=aliases)
        after = state.then({self.number: TRASHED[stage]}, history=_forgotten(self.number, state))
        return _done(after, _event("version_deleted", self.number, **{"from": stage}))


@dataclass(frozen=True)
class Restore(Request):
    """Take a version out of the trash, and the model with it."""

    number: int

    def at(self, state: State) -> Outcome:
        if state.has(self.number):
            return _refused(state, "version_not_deleted", version=self.number, stage=state.stage(self.number))
        stage = RESTORED.get(state.stage(self.number))
        if stage is None:
            return _absent(state, self.number)
        after = state.then({self.number: stage}, is_deleted=False)
        return _done(after, _event("version_restored", self.number, to=stage), version=self.number)


@dataclass(frozen=True)
class DeleteModel(Request):
    """Put all versions into the trash, and abandon all uploads."""

    def _at(self, state: State) -> Outcome:
        if state.production is not None or state.aliases:
            aliases = [alias for alias, _ in state.aliases]
            return _refused(state, "model_not_empty", production_version=state.production, aliases=aliases)
        versions, uploads = state.numbers(STAGING, ARCHIVED), state.numbers(UPLOADING)
        events = [
            _event("model_deleted"),
            *(_event("version_deleted", number, **{"from": state.stage(number)}) for number in versions),
            *(_event("upload_abandoned", number) for number in uploads),
        ]
        stages = {number: TRASHED[state.stage(number)] for number in versions} | dict.fromkeys(uploads, GONE)
        return _done(state.then(stages, events=len(events), history=(), is_deleted=True), *events)


@dataclass(frozen=True)
class Resolve(Request):
    """Ask which version a ref is. `known` is the commit that the caller has."""

    is_read: ClassVar[bool] = True
    ref: str
    known: str | None = field(default=None, compare=False)

    def _at(self, state: State) -> Outcome:
        number = state.named(self.ref)
        if number is None or not state.has(number):
            return _refused(state, "version_not_found", ref=self.ref)
        held = state.production == number
        return _done(state, version=number, generation=state.generation, is_production=held)


@dataclass(frozen=True)
class Read(Request):
    """Read the model, by itself or, where it is found, in the list of all."""

    is_read: ClassVar[bool] = True
    in_list: bool = field(default=False, compare=False)

    def _at(self, state: State) -> Outcome:
        return _done(
            state,
            generation=state.generation,
            latest=state.latest,
            production=state.production,
            aliases=dict(state.aliases),
        )


def _forgotten(number: int, state: State) -> tuple[int, ...]:
    """The history without a version: none holds production twice in a row, the present holder neither."""
    history: list[int] = []
    for holder in state.history:
        if holder != number and history[-1:] != [holder]:
            history.append(holder)
    return tuple(history[:-1] if history[-1:] == [state.production] else history)


# with all that the rules do not look at


Files = Mapping[str, bytes]

STATUS: Final = {
    "model_not_found": 404,
    "version_not_found": 404,
    "upload_not_found": 404,
    "alias_not_found": 404,
    "production_changed": 412,
    "precondition_required": 428,
    "idempotency_key_reused": 422,
    "invalid_request": 422,
}
"""Of the others it is 409."""

OF_NO_MODEL: Final = {"alias_reserved", "precondition_required", "idempotency_key_reused", "invalid_request"}
"""Problems that do not name the model."""

NO_EVENT: Final = dict.fromkeys(("version", "from", "to", "alias", "replaced", "comment"))


class RefusedError(Exception):
    """A problem: its status, its code, and fields of its own."""

    def __init__(self, code: str, **fields: Any) -> None:
        super().__init__(code)
        self.status = STATUS.get(code, 409)
        self.told: Told = {"status": self.status, "code": code, **fields}


@dataclass
class Content:
    """What is under a number: its files, which of them have arrived, and what is said of it."""

    files: Files
    said: dict[str, Any]
    arrived: set[str] = field(default_factory=set)


@dataclass
class Model:
    """All that is known of one model, deleted or not."""

    name: str
    state: State = field(default_factory=State)
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    contents: dict[int, Content] = field(default_factory=dict)
    events: list[Told] = field(default_factory=list)

    @property
    def uploads(self) -> list[int]:
        return self.state.numbers(UPLOADING)

    @property
    def versions(self) -> list[int]:
        return self.in_stage(None)

    @property
    def trash(self) -> list[int]:
        return self.state.numbers(*RESTORED)

    def in_stage(self, stage: str | None) -> list[int]:
        """Newest first."""
        return self.state.numbers(*([stage] if stage else [STAGING, PRODUCTION, ARCHIVED]))

    def told(self) -> Told:
        return {
            "model": self.name,
            "description": self.description,
            "tags": self.tags,
            "latest_version": self.state.latest,
            "production_version": self.state.production,
            "aliases": dict(self.state.aliases),
            "generation": len(self.events),
        }

    def told_of(self, number: int) -> Told:
        content = self.contents[number]
        return {
            **content.said,
            "model": self.name,
            "version": number,
            "stage": self.state.stage(number),
            "aliases": self.state.aliases_of(number),
            "artifacts": sorted(declare(content.files), key=lambda artifact: str(artifact["path"])),
            "size": sum(map(len, content.files.values())),
        }


class ReferenceRegistry:
    """Every model that was ever named to it, and every Idempotency-Key that was settled.

    What a method returns, the answer to the same request must say, and may say more; or it raises `RefusedError`.
    """

    def __init__(self) -> None:
        self._models: dict[str, Model] = {}
        self._settled: dict[tuple[str, str, str], tuple[str, int | None]] = {}

    def once(
        self,
        request: tuple[str, str, str] | None,
        body: str,
        act: Callable[[], int | None],
        say: Callable[[int | None], Told],
    ) -> Told:
        """Do what a request asks, and say what became of the number; settled under method, path and key, only say it.

        A refusal settles nothing. The same key with another body is refused; with its fields in another order, it is
        another.
        """
        if request is not None and request in self._settled:
            said, number = self._settled[request]
            if said != body:
                raise RefusedError("idempotency_key_reused")
            return say(number)
        number = act()
        if request is not None:
            self._settled[request] = body, number
        return say(number)

    def is_settled(self, request: tuple[str, str, str]) -> bool:
        return request in self._settled

    def known(self, name: str) -> Model | None:
        """A model as it is or was, deleted ones too."""
        return self._models.get(name)

    def model(self, name: str) -> Model:
        self.change(name, Read())
        return self._models[name]

    def version(self, name: str, number: int) -> Told:
        self.change(name, Resolve(str(number)))
        return self._models[name].told_of(number)

    def alias(self, name: str, alias: str, number: int) -> Told:
        """What a settled request says again, whatever the alias names by then."""
        self.version(name, number)
        return {"model": name, "alias": alias, "version": number}

    def resolve(self, name: str, ref: str, commits: Mapping[str, tuple[str, int]]) -> int:
        """The number of the version that answers to a ref; `commits` are those that were told, of which model each."""
        if ref == ARCHIVED:
            raise RefusedError("invalid_request")
        state = self.model(name).state
        owner, number = commits.get(ref, (name, state.named(ref)))
        if owner != name or number is None or not state.has(number):
            raise RefusedError("version_not_found", model=name, ref=ref)
        return number

    def change(self, name: str, request: Request, body: Told | None = None) -> int | None:
        """Let a request come, with the rest of its body; return the number of the version that it is about, if any."""
        model = self._models.get(name, Model(name))
        state, told, events = request.at(model.state)
        if code := told["code"]:
            fields = {field: value for field, value in told.items() if field != "code"}
            raise RefusedError(code, **fields, **({} if code in OF_NO_MODEL else {"model": name}))
        model.state = state
        for event in events:
            said = {**NO_EVENT, "actor": "anonymous", "comment": (body or {}).get("comment"), **event}
            model.events.append({**said, "generation": len(model.events) + 1})
        number: int | None = told.get("version")
        return number

    def move(self, name: str, number: int, body: Told) -> int | None:
        request = Move(number, body["stage"], _expected(body), body.get("only_newer", False))
        return self.change(name, request, body)

    def roll_back(self, name: str, body: Told, *, has_key: bool) -> int | None:
        if not has_key and "expected_production" not in body:
            raise RefusedError("precondition_required")
        return self.change(name, RollBack(_expected(body)), body)

    # -- uploads

    def begin(self, name: str, files: Files, said: Told) -> int | None:
        model = self._models.setdefault(name, Model(name))
        if model.state.is_deleted:
            model.description, model.tags = "", {}
        lenders = [model.contents[each] for each in (model.state.latest, model.state.production) if each]
        held = {content for lender in lenders for content in lender.files.values()}
        number = self.change(name, Begin())
        arrived = {path for path, content in files.items() if content in held}
        model.contents[len(model.state.stages)] = Content(files, dict(said), arrived)
        return number

    def copy(self, source: str, number: int, name: str, said: Told) -> int | None:
        self.version(source, number)
        content = self._models[source].contents[number]
        model = self._models.setdefault(name, Model(name))
        if model.state.is_deleted:
            model.description, model.tags = "", {}
        copied = self.change(name, CopyHere(f"{source}@{number}"))
        carried = {what: {**content.said[what], **said.get(what, {})} for what in ("metrics", "tags")}
        described = {**content.said, **said, **carried, "source": f"models:/{source}/{number}"}
        model.contents[len(model.state.stages)] = Content(content.files, described, set(content.files))
        return copied

    def upload(self, name: str, number: int) -> Told:
        """An upload, or the version that it became: then all has arrived."""
        model = self._models.get(name)
        if model is None or number not in [*model.uploads, *model.versions]:
            raise RefusedError("upload_not_found", model=name, version=number)
        content = model.contents[number]
        arrived = content.arrived if number in model.uploads else set(content.files)
        states = {path: "arrived" if path in arrived else "missing" for path in content.files}
        return {"model": name, "version": number, "states": states}

    def copied(self, name: str, number: int) -> Told:
        """What a copy and a repeat of it say."""
        self.version(name, number)
        return self.upload(name, number)

    def send(self, name: str, number: int, path: str) -> None:
        self._models[name].contents[number].arrived.add(path)

    def complete(self, name: str, number: int) -> int | None:
        model = self._models.get(name)
        if model and number in model.uploads:
            content = model.contents[number]
            if missing := sorted(set(content.files) - content.arrived):
                raise RefusedError("upload_incomplete", model=name, version=number, paths=missing)
        return self.change(name, Complete(number))

    def completed(self, name: str, number: int) -> Told:
        """What `complete` and a repeat of it say."""
        model = self._models.get(name)
        if model is None or number not in model.versions:
            raise RefusedError("upload_not_found", model=name, version=number)
        return model.told_of(number)

    # -- what is said

    def is_there(self, name: str) -> bool:
        model = self._models.get(name)
        return model is not None and bool(model.events) and not model.state.is_deleted

    def create_model(self, name: str, said: Told) -> None:
        if self.is_there(name):
            return
        model = self._models.setdefault(name, Model(name))
        self.change(name, Create())
        model.description, model.tags = said.get("description", ""), dict(said.get("tags", {}))

    def edit_model(self, name: str, body: Told) -> None:
        model = self.model(name)
        description = body.get("description", model.description)
        tags = _merged(model.tags, body.get("tags", {}))
        self.change(name, Edit(None, changes=(description, tags) != (model.description, model.tags)))
        model.description, model.tags = description, tags

    def edit_version(self, name: str, number: int, body: Told) -> None:
        self.version(name, number)
        content = self._models[name].contents[number]
        said = {**content.said, "description": body.get("description", content.said["description"])}
        for what in ("metrics", "tags"):
            said[what] = _merged(said[what], body.get(what, {}))
        self.change(name, Edit(number, changes=said != content.said))
        content.said = said


def _expected(body: Told) -> Expected:
    expected: Expected = body.get("expected_production", NO_PRECONDITION)
    return expected


def _merged(before: Mapping[str, Any], edit: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**before, **edit}.items() if value is not None}
