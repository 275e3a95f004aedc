"""What Schemathesis is told by code: a check of its own, which it loads in its own process."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response

from modelkeep.domain.artifact_paths import ARTIFACT_PATH_PATTERN
from modelkeep.domain.uploads import MAX_PARTS

PATH: Final = re.compile(ARTIFACT_PATH_PATTERN)
DATE: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z")

LARGE_PARTS: Final = 4
"""Of `large.bin` on the shelves."""

KEYED: Final = re.compile(r"(POST|PUT|PATCH|DELETE) /v1/models")
LISTS: Final = re.compile(r"GET /v1/(tokens|models|models/\{model\}/(events|uploads|versions))$")

UNSPEAKABLE: Final = {
    # The key came with another request before: a document has no memory.
    "idempotency_key_reused": KEYED,
    # Cursors are opaque and belong to one list each.
    "invalid_cursor": LISTS,
    # The fence is held against the present state.
    "production_changed": re.compile(r"PUT .*/stage$|POST .*/rollback$"),
    # A header or a field of the body: no schema reaches over both.
    "precondition_required": re.compile(r"POST .*/rollback$"),
    # No parameter of a path can hold a slash, so that of an artifact's path is sent as %2F, which is refused.
    "malformed_path": re.compile(r"GET .*/artifacts/\{path\}$"),
    # A sum over all artifacts.
    "artifact_too_large": re.compile(r"POST /v1/models/\{model\}/versions$"),
}
"""Codes by which a request that fits the document may be refused, why, and where."""

UNSPEAKABLE_RULES: Final = (
    # what is reserved, doubled or too large a number: patterns here do without lookahead, which not every reader knows
    "a model name has no '..' and no '--', and does not end in '.git'",
    "a ref is a version number",
    # a relation between the entries of a list, or with the clock
    "each part number is named once",
    "paths are unique without regard to case",
    "a token ends",
    # what Unicode calls printable
    "printable characters",
    "an artifact path has no",
    "an artifact path is in Unicode's composed form",
    "no segment of an artifact path starts or ends with a space",
    # bytes, where a schema counts characters
    "this text has at most",
    "an artifact path has 1 to",
    "each segment of an artifact path has 1 to",
    # the parts that this very artifact has
    "has parts 1 to",
    # Schemathesis takes the secret `token` of a new token for the `token` of a path, which is an id
    "should match pattern '^[0-9A-Za-z]{1,32}$'",
    # another kind of token than the one that is sent
    "only a token of a trusted issuer can be exchanged",
    "is only known of 'production'",  # a time with another ref
    # what the issuers and rules of a document have to do with each other
    *("which is not declared", "would trust everybody at this", "is declared twice", "use the same url"),
    "history uses",
)
"""Parts of the messages of `invalid_request` that no schema can say."""


@schemathesis.hook
def map_body(context: HookContext, body: Any) -> Any:
    """Let a token end within a year, and parts be those of the shelves' large artifact, where both were well-formed.

    A whole number is written 1: as 1.0, which JSON Schema takes for the same, it is refused here.
    """
    body = _plainly_written(body)
    if isinstance(body, dict) and isinstance(body.get("expires_at"), str) and DATE.match(body["expires_at"]):
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        return {**body, "expires_at": tomorrow.isoformat(timespec="seconds")}
    if isinstance(body, dict) and _are_parts(body.get("parts")) and PATH.fullmatch(str(body.get("path"))):
        parts = [{**part, "number": number} for number, part in enumerate(body["parts"], 1)]
        return {**body, "path": "large.bin", "parts": parts}
    return body


def _plainly_written(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _plainly_written(each) for name, each in value.items()}
    return [_plainly_written(each) for each in value] if isinstance(value, list) else value


def _are_parts(parts: Any) -> bool:
    """Whether these are no more than the large artifact has, each with a number that some artifact could have."""
    if not isinstance(parts, list) or len(parts) > LARGE_PARTS:
        return False
    numbers = [part.get("number") if isinstance(part, dict) else None for part in parts]
    return all(type(number) is int and 1 <= number <= MAX_PARTS for number in numbers)


@schemathesis.check
def fitting_requests_are_refused_for_nothing_else(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """What fits the document is refused only for what is absent, for the state of a model, or for the unspeakable."""
    meta = case.meta
    if meta is None or not meta.generation.mode.is_positive or response.status_code in {404, 409}:
        return
    if 400 <= response.status_code < 500:
        problem = response.json()
        code = problem["code"]
        if code == "invalid_request":
            messages = [error["message"] for error in problem["errors"]]
            assert all(any(rule in message for rule in UNSPEAKABLE_RULES) for message in messages), messages
        else:
            where = UNSPEAKABLE.get(code)
            assert where is not None, code
            assert where.match(case.operation.label), code
