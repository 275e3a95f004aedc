"""What MLflow's clients send, and what they are answered.

Numbers of versions are texts. A field that is not known here is passed by: clients of later releases send more.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from modelkeep.domain.models import Head, Version
from modelkeep.domain.values import MAX_VERSION, Stage, check_model_name
from modelkeep.schemas.base import Description, Name, TagValue

NEVER_MOVED: Final = "None"
"""The stage of a version in staging that nobody ever moved."""

STAGES: Final[Mapping[str, Stage]] = {
    "none": Stage.STAGING,
    "staging": Stage.STAGING,
    "production": Stage.PRODUCTION,
    "archived": Stage.ARCHIVED,
}


def _stage(text: str) -> str:
    if text.lower() not in STAGES:
        raise ValueError("a stage is None, Staging, Production or Archived")
    return text.capitalize()


def _number(text: str | int) -> int:
    if not str(text).isascii() or not str(text).isdigit() or not 1 <= int(str(text)[:11]) <= MAX_VERSION:
        raise ValueError("Model version must be an integer")
    return int(text)


ModelName = Annotated[str, AfterValidator(check_model_name)]
Number = Annotated[int, BeforeValidator(_number)]
StageName = Annotated[str, AfterValidator(_stage)]
Milliseconds = Annotated[datetime, PlainSerializer(lambda moment: int(moment.timestamp() * 1000))]
VersionText = Annotated[int, PlainSerializer(str)]


class Parameters(BaseModel):
    """The parameters of a request."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class TagGiven(Parameters):
    """A tag that is to be set."""

    key: Name
    value: TagValue = ""


class OfModel(Parameters):
    """A model."""

    name: ModelName


class OfVersion(OfModel):
    """A version of a model."""

    version: Number


class CreateModel(OfModel):
    """A model to be created."""

    tags: Annotated[Sequence[TagGiven], Field(max_length=100)] = ()
    description: Description = ""


class DescribeModel(OfModel):
    """A new description of a model."""

    description: Description = ""


class DescribeVersion(OfVersion):
    """A new description of a version."""

    description: Description = ""


class TagOfModel(OfModel, TagGiven):
    """A tag of a model."""


class TagOfVersion(OfVersion, TagGiven):
    """A tag of a version."""


class KeyOfModel(OfModel):
    """The key of a tag of a model."""

    key: Name


class KeyOfVersion(OfVersion):
    """The key of a tag of a version."""

    key: Name


class AliasOfModel(OfModel):
    """An alias; `production` means the production version, `latest` the newest."""

    alias: Annotated[str, Field(min_length=1, max_length=64)]


class SetAlias(AliasOfModel, OfVersion):
    """The version that an alias is to name."""


class LatestVersions(OfModel):
    """The stages whose newest versions are asked for; none means all."""

    stages: Sequence[StageName] = ()


class MoveVersion(OfVersion):
    """The stage that a version is to be moved to."""

    stage: StageName
    archive_existing_versions: bool = False


class CreateVersion(OfModel):
    """A version to be made of the objects of another one of this registry, which `source` names."""

    source: Annotated[str, Field(min_length=1, max_length=1024)]
    run_id: str = ""
    tags: Annotated[Sequence[TagGiven], Field(max_length=100)] = ()
    description: Description | None = None


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Tag(_Answer):
    """A tag."""

    key: str
    value: str


class AliasOfVersion(_Answer):
    """An alias of a model and the version that it names."""

    alias: str
    version: VersionText


class ModelVersion(_Answer):
    """A version."""

    name: str
    version: VersionText
    creation_timestamp: Milliseconds
    last_updated_timestamp: Milliseconds
    user_id: str
    current_stage: str
    description: str
    source: str
    run_id: str
    status: str = "READY"
    tags: Sequence[Tag]
    aliases: Sequence[str]

    @classmethod
    def of(cls, version: Version) -> "ModelVersion":
        """A version in MLflow's words."""
        return cls(
            name=version.model,
            version=version.number,
            creation_timestamp=version.created_at,
            last_updated_timestamp=version.stage_changed_at,
            user_id=version.created_by or "",
            current_stage=stage_of(version),
            description=version.description,
            source=version.source or f"models:/{version.model}/{version.number}",
            run_id=version.run_id or "",
            tags=_tags(version.tags),
            aliases=version.aliases,
        )


class RegisteredModel(_Answer):
    """A model, with its newest version in each stage."""

    name: str
    creation_timestamp: Milliseconds
    last_updated_timestamp: Milliseconds
    description: str
    latest_versions: Sequence[ModelVersion]
    tags: Sequence[Tag]
    aliases: Sequence[AliasOfVersion]

    @classmethod
    def of(cls, head: Head, versions: Sequence[Version]) -> "RegisteredModel":
        """A model in MLflow's words; `versions` are its newest, newest first, and its production version."""
        return cls(
            name=head.model,
            creation_timestamp=head.created_at,
            last_updated_timestamp=head.updated_at,
            description=head.description,
            latest_versions=latest_of(versions),
            tags=_tags(head.tags),
            aliases=[AliasOfVersion(alias=alias, version=number) for alias, number in sorted(head.aliases.items())],
        )


def stage_of(version: Version) -> str:
    """The stage in MLflow's words: a version that nobody ever moved has none."""
    if version.stage is Stage.STAGING and not version.was_moved:
        return NEVER_MOVED
    return version.stage.capitalize()


def latest_of(versions: Iterable[Version], stages: Sequence[str] = ()) -> list[ModelVersion]:
    """The newest of these versions in each stage, of these stages if there are any; `versions` is newest first."""
    latest: dict[str, Version] = {}
    for version in versions:
        latest.setdefault(stage_of(version), version)
    return [ModelVersion.of(version) for stage, version in latest.items() if not stages or stage in stages]


def tags_given(tags: Iterable[TagGiven]) -> dict[str, str]:
    """The tags of a request, by key."""
    return {tag.key: tag.value for tag in tags}


def _tags(tags: Mapping[str, str]) -> list[Tag]:
    return [Tag(key=key, value=value) for key, value in tags.items()]
