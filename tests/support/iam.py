"""What IAM makes of a policy document: as much of its rules as the registry's policies use.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

Document = Mapping[str, Any]

_WILDCARDS = {"*": ".*", "?": "."}
_ESCAPED = {"${*}": "*", "${?}": "?", "${$}": "$"}
_PIECE = re.compile(r"\$\{[^}]*\}|.", re.DOTALL)


@dataclass(frozen=True)
class Access:
    """An action on a resource that a request asks for, and what a condition may know of it."""

    action: str
    resource: str
    context: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Grant:
    """An action of a statement."""

    purpose: str
    action: str

    def __str__(self) -> str:
        return f"{self.purpose} {self.action}"


def allows(document: Document, access: Access) -> bool:
    """Whether a statement allows the access and none denies it."""
    effects = {statement["Effect"] for statement in document["Statement"] if _applies(statement, access)}
    return effects == {"Allow"}


def grants(document: Document) -> set[Grant]:
    """Each action of each statement."""
    return {Grant(statement["Sid"], action) for statement in document["Statement"] for action in statement["Action"]}


def without(document: Document, grant: Grant) -> Document:
    """The same but for one action of one statement."""
    left = deepcopy(dict(document))
    for statement in left["Statement"]:
        if statement["Sid"] == grant.purpose:
            statement["Action"].remove(grant.action)
    return left


def _applies(statement: Mapping[str, Any], access: Access) -> bool:
    return (
        any(_matches(action.lower(), access.action.lower()) for action in statement["Action"])
        and any(_covers(resource, access.resource) for resource in statement["Resource"])
        and all(_holds(operator, keys, access) for operator, keys in statement.get("Condition", {}).items())
    )


def _covers(pattern: str, arn: str) -> bool:
    """A wildcard stays within its part of the ARN; the last part is the rest, colons and slashes included."""
    patterns, parts = pattern.split(":", 5), arn.split(":", 5)
    return len(patterns) == len(parts) and all(map(_matches, patterns, parts))


def _matches(pattern: str, text: str) -> bool:
    pieces = _PIECE.findall(pattern)
    expression = "".join(_WILDCARDS.get(piece) or re.escape(_literal(piece)) for piece in pieces)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _literal(piece: str) -> str:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-specialchars."""
    return _ESCAPED[piece] if piece.startswith("${") else piece


def _holds(operator: str, keys: Mapping[str, Sequence[str]], access: Access) -> bool:
    """A key that the access does not have never holds: that is what `ForAnyValue` says."""
    assert operator == "ForAnyValue:StringEquals", f"no other condition is understood here: {operator}"
    return all(set(values) & set(access.context.get(key, ())) for key, values in keys.items())
