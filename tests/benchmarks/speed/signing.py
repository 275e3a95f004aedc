"""Signing one URL, as `tests/benchmarks/presigning.py` measures it."""

from collections.abc import AsyncIterator

from tests.benchmarks.presigning import compare
from tests.benchmarks.speed.results import Line, Reach
from tests.benchmarks.speed.site import Backend, Site


async def presign(site: Site, backend: Backend) -> AsyncIterator[Line]:
    """Against botocore, for the same URL."""
    ours, botocore = await compare(site.scale.rounds)
    detail = f"ours {ours * 1e6:.1f} µs; botocore {botocore * 1e6:.1f} µs"
    yield Line("presign one URL, botocore's time over ours", "-", botocore / ours, Reach(">=", 10), detail)
