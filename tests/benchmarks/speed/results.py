"""One table of what is promised of speed and what was reached."""

import math
import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median
from typing import Literal

from tests.support.servers import DYNAMODB_LOCAL, MINISTACK

LIBRARIES = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "pydantic", "aioboto3", "botocore")
WHAT, BACKEND, NUMBER = 54, 14, 11


@dataclass(frozen=True)
class Reach:
    """What was wanted of a figure."""

    relation: Literal["<=", ">="]
    value: float
    unit: str = "x"

    def holds(self, reached: float) -> bool:
        return reached <= self.value if self.relation == "<=" else reached >= self.value

    def written(self, figure: float) -> str:
        """A ratio to two places, a number with as many as it needs."""
        digits = 0 if float(figure).is_integer() and self.unit != "x" else 2
        return f"{figure:,.{digits}f} {self.unit}"

    def __str__(self) -> str:
        return f"{self.relation} {self.value:,g} {self.unit}"


@dataclass(frozen=True)
class Line:
    """One figure, what was wanted of it, and what it is made of."""

    what: str
    backend: str
    reached: float
    reach: Reach
    detail: str

    def __str__(self) -> str:
        verdict = "reached" if self.reach.holds(self.reached) else "NOT REACHED"
        figures = f"{self.reach.written(self.reached):>{NUMBER}} {self.reach!s:>{NUMBER}}"
        return f"{self.what:<{WHAT}} {self.backend:<{BACKEND}} {figures}  {verdict:<11}  {self.detail}"


HEADING = f"{'what':<{WHAT}} {'backend':<{BACKEND}} {'reached':>{NUMBER}} {'wanted':>{NUMBER}}"


def machine() -> str:
    """Where this was measured, with what, and how busy it was."""
    kept = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}\n"
        f"{kept}\n{MINISTACK}, {DYNAMODB_LOCAL}; load average {os.getloadavg()[0]:.1f} at the start"
    )


def show(text: object) -> None:
    """Print at once: the rest takes long."""
    print(text, flush=True)
    sys.stdout.flush()


def median_ratio(ours: Iterable[float], theirs: Iterable[float]) -> float:
    """The median over the rounds of ours over theirs."""
    return median(one / other if other else math.inf for one, other in zip(ours, theirs, strict=True))
