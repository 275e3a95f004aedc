"""Two versions side by side, on the wire."""

from typing import Annotated, Self

from pydantic import Field

from modelkeep.domain.comparison import Comparison, FileState, file_state
from modelkeep.schemas.base import Answer


class MetricComparison(Answer):
    """A metric; null where a version lacks it."""

    name: str
    a: float | None
    b: float | None
    difference: Annotated[float | None, Field(description="`b` minus `a`, if both have the metric.")]


class TagComparison(Answer):
    """A tag; null where a version lacks it."""

    name: str
    a: str | None
    b: str | None


class FileComparison(Answer):
    """A file; sizes are null where a version lacks it, or has none that is known."""

    path: str
    state: Annotated[
        FileState, Field(description="By SHA-256; `unknown` while that of an adopted version is not known.")
    ]
    a_size: int | None
    b_size: int | None


class ComparisonResponse(Answer):
    """All metrics, tags and files that the version `a` or the version `b` has, each sorted by name."""

    model: str
    a: int
    b: int
    metrics: list[MetricComparison]
    tags: list[TagComparison]
    files: list[FileComparison]

    @classmethod
    def of(cls, found: Comparison) -> Self:
        """Shape the domain's comparison."""
        return cls(
            model=found.a.model,
            a=found.a.number,
            b=found.b.number,
            metrics=[
                MetricComparison(
                    name=metric.name,
                    a=None if metric.a is None else float(metric.a),
                    b=None if metric.b is None else float(metric.b),
                    difference=None if metric.a is None or metric.b is None else float(metric.b - metric.a),
                )
                for metric in found.metrics
            ],
            tags=[TagComparison(name=tag.name, a=tag.a, b=tag.b) for tag in found.tags],
            files=[
                FileComparison(
                    path=file.name,
                    state=file_state(file),
                    a_size=file.a.size if file.a else None,
                    b_size=file.b.size if file.b else None,
                )
                for file in found.files
            ],
        )
