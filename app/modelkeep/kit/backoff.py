"""Exponential backoff with full jitter: clients that failed together do not come back together.

Source: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
"""

import random


def full_jitter(attempt: int, *, base: float, cap: float) -> float:
    """Seconds to wait before retry `attempt`, counted from 0: evenly between 0 and `base * 2 ** attempt`, or `cap`."""
    return random.uniform(0, min(cap, base * 2**attempt))  # noqa: S311 -- spreads load, keeps no secret
