"""Signing one URL, where `tests/benchmarks/presigning.py` measures it."""

from collections.abc import AsyncIterator
from importlib import import_module
from importlib.util import find_spec

from tests.benchmarks.speed.lines import Line, Reach, show
from tests.benchmarks.speed.site import Backend, Site

MEASURED_BY = "tests.benchmarks.presigning"


async def presign(site: Site, backend: Backend) -> AsyncIterator[Line]:
    """Against botocore, for the same URL."""
    if find_spec(MEASURED_BY) is None:
        show(f"presign one URL: not measured, there is no {MEASURED_BY}")
        return
    ours, botocore = import_module(MEASURED_BY).measure(site.scale.rounds)
    detail = f"ours {ours * 1e6:.1f} µs; botocore {botocore * 1e6:.1f} µs"
    yield Line("presign one URL, botocore's time over ours", "-", botocore / ours, Reach(">=", 10), detail)
