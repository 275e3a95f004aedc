"""What whom may do: written out by hand, knowing nothing of how the service decides.

Each question is one that changes nothing where it is let through, so that none touches another; what it is answered
then says that it was let through.
"""

from typing import Any, Final, NamedTuple

from tests.support.api import ABANDONED, ARCHIVED, OPEN, PRODUCTION, STAGING

EVERYTHING: Final = (
    "model.read model.write version.upload version.edit version.delete stage.set:staging stage.set:production"
    " stage.set:archived alias.set event.read token.admin"
)


class Power(NamedTuple):
    """The words of a token, and the actions that they come to."""

    allow: str
    may: str
    deny: str = ""

    def may_do(self, action: str) -> bool:
        return action in self.may.split()


READER: Final = Power("reader", "model.read event.read")
PUBLISHER: Final = Power("publisher", "model.read event.read version.upload version.edit stage.set:staging")
PROMOTER: Final = Power(
    "promoter", "model.read event.read stage.set:staging stage.set:production stage.set:archived alias.set"
)
ADMIN: Final = Power("admin", EVERYTHING)

POWERS: Final = [
    READER,
    PUBLISHER,
    PROMOTER,
    ADMIN,
    Power("*", EVERYTHING),
    Power("stage.set:*", "stage.set:staging stage.set:production stage.set:archived"),
    *(Power(action, action) for action in EVERYTHING.split()),
    Power(
        "publisher promoter",
        "model.read event.read version.upload version.edit stage.set:staging stage.set:production stage.set:archived"
        " alias.set",
    ),
    Power("reader", "event.read", deny="model.read"),
    Power("reader", "model.read", deny="event.read"),
    Power("reader", "", deny="*"),
    Power("", "", deny="stage.set:production"),
    Power("admin", EVERYTHING.replace("stage.set:production", ""), deny="stage.set:production"),
    Power("admin", EVERYTHING.replace("model.read", ""), deny="model.read"),
    Power("model.write version.delete", "model.write version.delete"),
    Power("reader model.write", "model.read event.read model.write"),
    Power("reader version.delete", "model.read event.read version.delete"),
]

PRESENT: Final = ("fraud-detector", "ranking-eu", "Fraud-Detector")
ABSENT: Final = ("fraud-eu", "ranking")
TOKENS: Final = "the tokens"

PATTERNS: Final[dict[str, set[str]]] = {
    "fraud-*": {"fraud-detector", "fraud-eu"},
    "fraud-detector": {"fraud-detector"},
    "*-eu": {"ranking-eu", "fraud-eu"},
    "*": {"fraud-detector", "fraud-eu", "ranking-eu", "ranking", "Fraud-Detector", TOKENS},
    "f*-d*r": {"fraud-detector"},
    "Fraud-*": {"Fraud-Detector"},
    "FRAUD-*": set(),
    "fraud": set(),
    "ranking *-detector": {"ranking", "fraud-detector"},
    "another-model": set(),
}
"""The patterns of a token, and which models they cover; registry tokens are no part of any model."""

PRINCIPALS: Final = [
    *((power, "fraud-*") for power in POWERS),
    *(
        (power, pattern)
        for power in (READER, PUBLISHER, PROMOTER, ADMIN)
        for pattern in PATTERNS
        if pattern != "fraud-*"
    ),
    *((power, "*") for power in POWERS if "token.admin" in power.allow or power.deny),
]


class Question(NamedTuple):
    """A request, all that it needs, and how it is answered of a model that is there, and of one that is not."""

    operation: str
    method: str
    path: str
    needs: str
    present: str
    absent: str
    body: Any = None


ITSELF: Final = "the-model"
"""In a body: the model that is asked about."""

NO_MODEL: Final = "404 model_not_found"
NO_UPLOAD: Final = "404 upload_not_found"
NOT_DELETED: Final = "409 version_not_deleted"
NO_VERSION: Final = "404 version_not_found"
TOO_LARGE: Final = "413 artifact_too_large"
TOO_MUCH: Final = "413 metadata_too_large"
UNFENCED: Final = "428 precondition_required"
OTHERWISE: Final = "412 production_changed"

_THEN: Final = "/versions/production?at=2020-01-01T00:00:00Z"
_ZEROS: Final = "0" * 64
_REGISTRATION: Final = {"artifacts": [{"path": "model.pt", "size": 6 * 1024**4, "sha256": _ZEROS}]}
_COPY_OF_ITSELF: Final = {"from": {"model": ITSELF, "version": ABANDONED}}
_MANY_TAGS: Final = {"tags": dict.fromkeys(map(str, range(65)), "x")}
_PARTS: Final = {"path": "large.bin", "parts": [{"number": 1, "sha256": _ZEROS}]}
_FENCED: Final = {"stage": "production", "expected_production": None}
_ENDED: Final = {"principal": "ci", "allow": ["reader"], "models": ["a"], "expires_at": "2020-01-01T00:00:00Z"}
_FAULTY: Final = {"issuers": {"operator": {"url": "https://issuer.example", "audience": "registry"}}}
_ASKED: Final = {"token": "none", "action": "model.read"}

_WRITTEN_OUT: Final = [
    Question("compare_versions", "GET", f"/compare?a={ARCHIVED}&b={PRODUCTION}", "model.read", "200", NO_MODEL),
    Question("get_version", "GET", _THEN, "model.read event.read", "404 production_not_found", NO_MODEL),
    Question("get_model", "GET", "", "model.read", "200", NO_MODEL),
    Question("create_model", "PUT", "", "model.read version.upload", "200", TOO_MUCH, _MANY_TAGS),
    Question("edit_model", "PATCH", "", "model.write", "200", NO_MODEL, {}),
    Question("delete_model", "DELETE", "", "model.write version.delete", "409 model_not_empty", NO_MODEL),
    Question("begin_upload", "POST", "/versions", "version.upload", TOO_LARGE, TOO_LARGE, _REGISTRATION),
    Question("begin_upload", "POST", "/versions", "model.read version.upload", NO_VERSION, NO_MODEL, _COPY_OF_ITSELF),
    Question("list_uploads", "GET", "/uploads?limit=1", "model.read", "200", NO_MODEL),
    Question("get_upload", "GET", f"/versions/{OPEN}/upload", "version.upload", "200", NO_UPLOAD),
    Question("sign_parts", "POST", f"/versions/{OPEN}/upload/parts", "version.upload", "200", NO_UPLOAD, _PARTS),
    Question(
        "complete_upload", "POST", f"/versions/{OPEN}/complete", "version.upload", "409 upload_incomplete", NO_MODEL
    ),
    Question("abandon_upload", "DELETE", f"/versions/{ABANDONED}/upload", "version.upload", NO_UPLOAD, NO_MODEL),
    Question("list_versions", "GET", "/versions?limit=1", "model.read", "200", NO_MODEL),
    Question("list_versions", "GET", "/versions?tag=a=b&alias=*&sort=-metrics.f1", "model.read", "200", NO_MODEL),
    Question("get_version", "GET", "/versions/production", "model.read", "200", NO_MODEL),
    Question("edit_version", "PATCH", f"/versions/{STAGING}", "version.edit", "200", NO_MODEL, {}),
    Question("delete_version", "DELETE", f"/versions/{PRODUCTION}", "version.delete", "409 version_in_use", NO_MODEL),
    Question("restore_version", "POST", f"/versions/{STAGING}/restore", "version.delete", NOT_DELETED, NO_VERSION),
    *(
        Question(
            "set_stage", "PUT", f"/versions/{number}/stage", f"stage.set:{stage}", "200", NO_MODEL, {"stage": stage}
        )
        for number, stage in [(STAGING, "staging"), (PRODUCTION, "production"), (ARCHIVED, "archived")]
    ),
    Question("set_stage", "PUT", f"/versions/{STAGING}/stage", "stage.set:production", OTHERWISE, NO_MODEL, _FENCED),
    Question("roll_back", "POST", "/rollback", "stage.set:production", UNFENCED, UNFENCED, {}),
    Question(
        "roll_back", "POST", "/rollback", "stage.set:production", OTHERWISE, NO_MODEL, {"expected_production": 99}
    ),
    Question("set_alias", "PUT", "/aliases/champion", "alias.set", "200", NO_MODEL, {"version": PRODUCTION}),
    Question("remove_alias", "DELETE", "/aliases/canary", "alias.set", "404 alias_not_found", NO_MODEL),
    Question("get_download", "GET", "/versions/production/download", "model.read", "200", NO_MODEL),
    Question("get_artifact", "GET", "/versions/production/artifacts/model.pt", "model.read", "307", NO_MODEL),
    Question("list_events", "GET", "/events?limit=1", "event.read", "200", NO_MODEL),
    Question("head_artifact", "HEAD", "/versions/production/artifacts/model.pt", "model.read", "200", NO_MODEL),
]

QUESTIONS: Final = [
    *_WRITTEN_OUT,
    *(
        question._replace(method="HEAD")
        for question in _WRITTEN_OUT
        if question.method == "GET" and question.operation != "get_artifact"
    ),
]
"""About one model. HEAD is let through where GET is."""

OTHER_QUESTIONS: Final = [
    Question("list_models", "GET", "/models", "", "200", ""),
    Question("create_token", "POST", "/tokens", "token.admin", "422 invalid_request", "", _ENDED),
    Question("list_tokens", "GET", "/tokens?limit=1", "token.admin", "200", ""),
    Question("revoke_token", "DELETE", "/tokens/absent", "token.admin", "404 token_not_found", ""),
    Question("get_caller", "GET", "/whoami", "", "200", ""),
    Question("get_rules", "GET", "/access", "token.admin", "200", ""),
    Question("set_rules", "PUT", "/access", EVERYTHING, "422 invalid_request", "", _FAULTY),
    Question("explain_access", "POST", "/access/explain", "token.admin", "200", "", _ASKED),
    Question("exchange_token", "POST", "/auth/token", "", "422 invalid_request", ""),
]
"""About no model. Whoever is known may ask who it is, and list models: those that it may not read are not there."""
