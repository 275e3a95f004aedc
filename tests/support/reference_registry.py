"""What the registry promises, in plain Python: no table, no store, no second caller, and nothing that is fast.

Each method takes what a request says and returns what the answer must say (`Told`, some of its fields), or raises
`RefusedError`. Nothing here knows how the service does it: the latest version is the highest number there is, stages
follow from who holds production, and a generation is the length of a list.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support.api import declare

Told = dict[str, Any]
Settled = tuple[int | None, Told]
"""What is remembered under a key (a number, or nothing), and what is told."""

Files = Mapping[str, bytes]

NOTHING: Final[Settled] = None, {}

RESERVED: Final = {"latest", "main", "production", "staging", "archived", "none", "v7"}
REMEMBERED: Final = 20
"""Versions that held production before, as many as a rollback can still reach."""


class RefusedError(Exception):
    """A problem: its status, its code, and fields of its own."""

    def __init__(self, status: int, code: str, **fields: Any) -> None:
        super().__init__(code)
        self.status = status
        self.told: Told = {"status": status, "code": code, **fields}


@dataclass
class Upload:
    """A number reserved, and which of its files have arrived."""

    files: Files
    said: Told
    arrived: set[str] = field(default_factory=set)


@dataclass
class Version:
    """A complete version. `resting` is its stage while it does not hold production."""

    files: Files
    said: Told
    resting: str = "staging"


@dataclass
class Model:
    """All that is known of one model."""

    name: str
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    last_number: int = 0
    uploads: dict[int, Upload] = field(default_factory=dict)
    versions: dict[int, Version] = field(default_factory=dict)
    trash: dict[int, Version] = field(default_factory=dict)
    production: int | None = None
    earlier: list[int] = field(default_factory=list)
    aliases: dict[str, int] = field(default_factory=dict)
    events: list[Told] = field(default_factory=list)
    is_deleted: bool = False

    def note(self, kind: str, **fields: Any) -> None:
        nothing = dict.fromkeys(("version", "from", "to", "alias", "replaced", "comment"))
        self.events.append(
            {**nothing, "generation": len(self.events) + 1, "type": kind, "actor": "anonymous", **fields}
        )

    def stage_of(self, number: int) -> str:
        return "production" if number == self.production else self.versions[number].resting

    def in_stage(self, stage: str | None) -> list[int]:
        """Newest first."""
        return [n for n in sorted(self.versions, reverse=True) if stage is None or self.stage_of(n) == stage]

    def aliases_of(self, number: int) -> list[str]:
        return sorted(alias for alias, target in self.aliases.items() if target == number)

    def told(self) -> Told:
        return {
            "model": self.name,
            "description": self.description,
            "tags": self.tags,
            "latest_version": max(self.versions, default=None),
            "production_version": self.production,
            "aliases": self.aliases,
            "generation": len(self.events),
        }

    def told_of(self, number: int) -> Told:
        version = self.versions[number]
        return {
            **version.said,
            "model": self.name,
            "version": number,
            "stage": self.stage_of(number),
            "aliases": self.aliases_of(number),
            "artifacts": sorted(declare(version.files), key=lambda artifact: str(artifact["path"])),
            "size": sum(map(len, version.files.values())),
        }


class ReferenceRegistry:
    """Every model that was ever named to it, and every Idempotency-Key that was settled."""

    def __init__(self) -> None:
        self._models: dict[str, Model] = {}
        self._settled: dict[tuple[str, str, str], tuple[str, int | None]] = {}

    def once(
        self,
        request: tuple[str, str, str] | None,
        body: str,
        act: Callable[[], Settled],
        again: Callable[[int | None], Told],
    ) -> Told:
        """Do what a request asks; one that was settled before, under method, path and key, is only answered `again`.

        A refusal settles nothing. The same key with another body is refused; with its fields in another order, it is
        another.
        """
        if request is not None and request in self._settled:
            said, number = self._settled[request]
            if said != body:
                raise RefusedError(422, "idempotency_key_reused")
            return again(number)
        number, told = act()
        if request is not None:
            self._settled[request] = body, number
        return told

    def known(self, name: str) -> Model | None:
        """A model as it is or was, deleted ones too."""
        return self._models.get(name)

    def model(self, name: str) -> Model:
        model = self._models.get(name)
        if model is None or model.is_deleted:
            raise RefusedError(404, "model_not_found", model=name)
        return model

    # -- from a registration to a version

    def begin(self, name: str, files: Files, said: Told) -> Settled:
        model = self._models.setdefault(name, Model(name))
        if model.is_deleted:
            model.is_deleted, model.description, model.tags = False, "", {}
        model.last_number += 1
        model.uploads[model.last_number] = Upload(files, said)
        model.note("upload_begun", version=model.last_number)
        return model.last_number, self.upload(name, model.last_number)

    def upload(self, name: str, number: int) -> Told:
        """An upload, or the version that it became: then all has arrived."""
        model = self._models.get(name)
        if model and number in model.versions:
            files, arrived = model.versions[number].files, set(model.versions[number].files)
        elif model and number in model.uploads:
            files, arrived = model.uploads[number].files, model.uploads[number].arrived
        else:
            raise RefusedError(404, "upload_not_found", model=name, version=number)
        states = {path: "arrived" if path in arrived else "missing" for path in files}
        return {"model": name, "version": number, "states": states}

    def send(self, name: str, number: int, path: str) -> None:
        self._models[name].uploads[number].arrived.add(path)

    def complete(self, name: str, number: int) -> Settled:
        self._check_whole(name, number)
        model = self.model(name)
        if number in model.uploads:
            upload = model.uploads.pop(number)
            model.versions[number] = Version(upload.files, upload.said)
            model.note("version_completed", version=number, to="staging")
        return number, self.completed(name, number)

    def completed(self, name: str, number: int) -> Told:
        """What a repeat of `complete` says."""
        model = self._models.get(name)
        if model is None or number not in model.versions:
            raise RefusedError(404, "upload_not_found", model=name, version=number)
        return model.told_of(number)

    def _check_whole(self, name: str, number: int) -> None:
        model = self._models.get(name)
        if model and (upload := model.uploads.get(number)):
            missing = sorted(path for path in upload.files if path not in upload.arrived)
            if missing:
                raise RefusedError(409, "upload_incomplete", model=name, version=number, paths=missing)

    def abandon(self, name: str, number: int) -> Settled:
        model = self._models.get(name)
        if model is None or number not in model.uploads:
            raise RefusedError(404, "upload_not_found", model=name, version=number)
        del model.uploads[number]
        model.note("upload_abandoned", version=number)
        return NOTHING

    # -- stages

    def move(self, name: str, number: int, body: Told) -> Settled:
        model = self._with_version(name, number)
        before, stage = model.stage_of(number), body["stage"]
        if before == stage:
            return number, model.told_of(number)
        self._check_fence(model, body)
        holder = model.production
        if stage == "production":
            if body.get("only_newer") and holder is not None and number < holder:
                raise RefusedError(409, "not_newer", model=name, version=number, holder=holder)
            self._give_production(model, number)
        else:
            model.versions[number].resting = stage
            if holder == number:
                model.production = None
                self._remember(model, number)
        replaced = holder if stage == "production" else None
        said = {"version": number, "from": before, "to": stage, "replaced": replaced, "comment": body.get("comment")}
        model.note("stage_changed", **said)
        return number, model.told_of(number)

    def roll_back(self, name: str, body: Told, *, has_key: bool) -> Settled:
        if not has_key and "expected_production" not in body:
            raise RefusedError(428, "precondition_required")
        model = self.model(name)
        self._check_fence(model, body)
        if not model.earlier:
            raise RefusedError(409, "no_earlier_production", model=name)
        holder, number = model.production, model.earlier.pop()
        before = model.stage_of(number)
        model.production = number
        if holder is not None:
            model.versions[holder].resting = "archived"
        said = {"from": before, "to": "production", "replaced": holder, "comment": body.get("comment")}
        model.note("rolled_back", version=number, **said)
        return number, model.told_of(number)

    def _give_production(self, model: Model, number: int) -> None:
        if model.production is not None:
            model.versions[model.production].resting = "archived"
            self._remember(model, model.production)
        if model.earlier[-1:] == [number]:
            model.earlier.pop()
        model.production = number

    def _remember(self, model: Model, number: int) -> None:
        model.earlier = [*model.earlier, number][-REMEMBERED:]

    def _check_fence(self, model: Model, body: Told) -> None:
        if "expected_production" in body and body["expected_production"] != model.production:
            expected = body["expected_production"]
            told = {"model": model.name, "expected": expected, "holder": model.production}
            raise RefusedError(412, "production_changed", **told)

    # -- aliases

    def set_alias(self, name: str, alias: str, body: Told) -> Settled:
        number = body["version"]
        model = self._with_version(name, number)
        if alias in RESERVED:
            raise RefusedError(409, "alias_reserved", alias=alias)
        before = model.aliases.get(alias)
        if before != number:
            model.aliases[alias] = number
            said = {"from": None if before is None else str(before), "to": str(number), "comment": body.get("comment")}
            model.note("alias_set", version=number, alias=alias, **said)
        return number, self.alias(name, alias, number)

    def alias(self, name: str, alias: str, number: int) -> Told:
        """What a settled request says again, whatever the alias names by then."""
        self._with_version(name, number)
        return {"model": name, "alias": alias, "version": number}

    def remove_alias(self, name: str, alias: str) -> Settled:
        model = self.model(name)
        if alias not in model.aliases:
            raise RefusedError(404, "alias_not_found", model=name, alias=alias)
        number = model.aliases.pop(alias)
        model.note("alias_removed", version=number, alias=alias, **{"from": str(number)})
        return NOTHING

    # -- edits, the trash

    def edit_model(self, name: str, body: Told) -> Settled:
        model = self.model(name)
        before = model.told()
        model.description = body.get("description", model.description)
        model.tags = _merged(model.tags, body.get("tags", {}))
        if model.told() != before:
            model.note("model_edited")
        return None, model.told()

    def edit_version(self, name: str, number: int, body: Told) -> Settled:
        model = self._with_version(name, number)
        said = dict(model.versions[number].said)
        said["description"] = body["description"] if "description" in body else said["description"]
        for what in ("metrics", "tags"):
            said[what] = _merged(said[what], body.get(what, {}))
        if said != model.versions[number].said:
            model.versions[number].said = said
            model.note("version_edited", version=number)
        return number, model.told_of(number)

    def delete_version(self, name: str, number: int) -> Settled:
        model = self._with_version(name, number)
        stage, aliases = model.stage_of(number), model.aliases_of(number)
        if stage == "production" or aliases:
            raise RefusedError(409, "version_in_use", model=name, version=number, stage=stage, aliases=aliases)
        model.trash[number] = model.versions.pop(number)
        model.earlier = _as_holders([n for n in model.earlier if n != number], model.production)
        model.note("version_deleted", version=number, **{"from": stage})
        return NOTHING

    def restore(self, name: str, number: int) -> Settled:
        model = self._models.get(name)
        if model is None or number not in model.trash:
            raise RefusedError(404, "version_not_found", model=name, ref=str(number))
        model.versions[number] = model.trash.pop(number)
        model.is_deleted = False
        model.note("version_restored", version=number, to=model.stage_of(number))
        return number, model.told_of(number)

    def delete_model(self, name: str) -> Settled:
        model = self.model(name)
        if model.production is not None or model.aliases:
            told = {"production_version": model.production, "aliases": sorted(model.aliases)}
            raise RefusedError(409, "model_not_empty", model=name, **told)
        model.note("model_deleted")
        for number in sorted(model.versions, reverse=True):
            model.note("version_deleted", version=number, **{"from": model.stage_of(number)})
        for number in sorted(model.uploads, reverse=True):
            model.note("upload_abandoned", version=number)
        model.trash |= model.versions
        model.versions, model.uploads, model.earlier, model.is_deleted = {}, {}, [], True
        return NOTHING

    # -- reads

    def resolve(self, name: str, ref: str, commits: Mapping[str, tuple[str, int]]) -> int:
        """The number of the version that answers to a ref; `commits` are those that were told, of which model each."""
        if ref == "archived":
            raise RefusedError(422, "invalid_request")
        model = self.model(name)
        number = self._pointed_at(model, ref, commits)
        if number is None or number not in model.versions:
            raise RefusedError(404, "version_not_found", model=name, ref=ref)
        return number

    def _pointed_at(self, model: Model, ref: str, commits: Mapping[str, tuple[str, int]]) -> int | None:
        if ref in commits:
            owner, number = commits[ref]
            return number if owner == model.name else None
        if ref.removeprefix("v").isdigit():
            return int(ref.removeprefix("v"))
        newest = {"latest": None, "production": "production", "staging": "staging"}
        if ref in newest:
            return next(iter(model.in_stage(newest[ref])), None)
        return model.aliases.get(ref)

    def version(self, name: str, number: int) -> Told:
        return self._with_version(name, number).told_of(number)

    def events(self, name: str) -> list[Told]:
        """A deleted model keeps its history."""
        if name not in self._models:
            raise RefusedError(404, "model_not_found", model=name)
        return self._models[name].events

    def _with_version(self, name: str, number: int) -> Model:
        model = self.model(name)
        if number not in model.versions:
            raise RefusedError(404, "version_not_found", model=name, ref=str(number))
        return model


def _merged(before: Mapping[str, Any], edit: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**before, **edit}.items() if value is not None}


def _as_holders(earlier: list[int], holder: int | None) -> list[int]:
    """A line of holders, of whom no two neighbours are the same, the present one counted."""
    kept: list[int] = []
    for number in earlier:
        if kept[-1:] != [number]:
            kept.append(number)
    return kept[:-1] if kept[-1:] == [holder] else kept
