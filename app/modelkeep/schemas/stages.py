"""Stages and rollback on the wire."""

from typing import Annotated

from pydantic import Field

from modelkeep.domain.changes import StageRequest
from modelkeep.domain.values import UNSET, Stage, Unset, VersionNumber
from modelkeep.schemas.base import Comment, Request


class SetStage(Request):
    """Where to move a version.

    `expected_production` is a precondition for pipelines: the version that must be production now, or null for none.
    `only_newer` refuses to move production to a lower number.
    """

    stage: Annotated[Stage, Field(strict=False)]
    comment: Comment | None = None
    expected_production: VersionNumber | None = None
    only_newer: bool = False

    def to_request(self) -> StageRequest:
        """The domain's form: a precondition that was not sent is UNSET."""
        return StageRequest(
            stage=self.stage,
            comment=self.comment,
            expected_production=self.expected_production if "expected_production" in self.model_fields_set else UNSET,
            only_newer=self.only_newer,
        )


class RollBack(Request):
    """Make the previous production version production again."""

    comment: Comment | None = None
    expected_production: VersionNumber | None = None

    def precondition(self) -> int | Unset | None:
        """The version that must be production now, `None` for no version; UNSET if it was not sent."""
        return self.expected_production if "expected_production" in self.model_fields_set else UNSET
