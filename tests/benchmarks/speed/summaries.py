"""What the tallies of several rounds say, in a few words."""

from collections.abc import Sequence
from statistics import median

from tests.benchmarks.load import Tally
from tests.benchmarks.speed.results import median_ratio


def middle(tallies: Sequence[Tally]) -> str:
    """Medians of answers a second, of the time to an answer, and of what one costs the server's processors."""
    rate, p50, cost = (median(getattr(tally, name) for tally in tallies) for name in ("rate", "p50", "cost"))
    return f"{rate:,.0f}/s, p50 {p50:,.2f} ms, {cost:.3f} ms of CPU"


def busiest(*sides: Sequence[Tally]) -> str:
    """How much of one processor the asking side took at most: near 100 % it is itself what is measured."""
    return f"asking took {max(tally.own_processor / tally.elapsed for side in sides for tally in side):.0%} of a CPU"


def compared(theirs: str, one: Sequence[Tally], other: Sequence[Tally], *, ours: str = "ours") -> str:
    """Both sides, the ratio of their processor time, and whether the asking side was fast enough."""
    dearer = median_ratio([tally.cost for tally in one], [tally.cost for tally in other])
    return f"{ours} {middle(one)}; {theirs} {middle(other)}; CPU {dearer:.2f} x; {busiest(one, other)}"
