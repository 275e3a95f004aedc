"""What is known of a request, in one typed object under one key of the ASGI scope's state."""

from dataclasses import dataclass
from typing import Any, Final, cast

from starlette.types import Scope

from modelkeep.domain.access.principals import Principal
from modelkeep.domain.errors import RegistryError
from modelkeep.domain.events import IdempotencyKey
from modelkeep.http.route_table import UNLISTED, RouteRow
from modelkeep.services.access.authenticator import Authenticator
from modelkeep.services.access.caller import Caller
from modelkeep.services.access.rules import RuleService
from modelkeep.services.access.tokens import TokenService
from modelkeep.services.aliases import AliasService
from modelkeep.services.events import EventService
from modelkeep.services.health import HealthService
from modelkeep.services.models import ModelService
from modelkeep.services.reading.downloads import DownloadService
from modelkeep.services.stages import StageService
from modelkeep.services.uploading.uploads import UploadService
from modelkeep.services.versions import VersionService
from modelkeep.storage.local.files import FileStore

_CONTEXT: Final = "context"


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The services over one storage. `files` is the local object store, if it is used: this process serves its URLs."""

    models: ModelService
    versions: VersionService
    uploads: UploadService
    stages: StageService
    aliases: AliasService
    downloads: DownloadService
    events: EventService
    tokens: TokenService
    rules: RuleService
    authenticator: Authenticator
    health: HealthService
    files: FileStore | None


@dataclass(slots=True)
class RequestContext:
    """One request. Each layer sets what it finds out, for the layers below it and for the log line.

    - `services` is `None` only if the app serves without its lifespan.
    - `row` is that of the route table, set with `request_id` by the outermost layer.
    - `principal` is set by authentication, `caller` by the route; decisions are taken on the caller.
    - `problem_code` is the code of the error that the request was answered with, else empty.
    - `rejection` is an error of the connection that the request is to be answered with. It may be set at any time.
    """

    services: Services
    request_id: str = ""
    row: RouteRow = UNLISTED
    principal: Principal | None = None
    caller: Caller | None = None
    problem_code: str = ""
    rejection: RegistryError | None = None

    def require_principal(self) -> Principal:
        """The principal. Raises `LookupError` on a public route, which has none: a fault of the route."""
        if self.principal is None:
            raise LookupError("a public route has no principal")
        return self.principal

    def bind_caller(self, idempotency: IdempotencyKey | None = None) -> Caller:
        """Make the caller and keep it, so that decisions on it are checked and logged. Raises `LookupError`."""
        self.caller = Caller(principal=self.require_principal(), request_id=self.request_id, idempotency=idempotency)
        return self.caller

    def current_caller(self) -> Caller:
        """The caller of this request, made by the first call. Raises `LookupError`."""
        return self.caller or self.bind_caller()


def context_of(scope: Scope) -> RequestContext:
    """The context of a request; created by the first call, which the connection or the outermost layer makes."""
    state = scope.get("state") or {}
    context: RequestContext | None = state.get(_CONTEXT)
    if context is None:
        context = RequestContext(services=cast("Services", state.get("services")))
        scope["state"] = {**state, _CONTEXT: context}
    return context


def authorization_fields(context: RequestContext, scope: Scope) -> dict[str, Any]:
    """The principal of a request and the last authorization decision on it, for its log line and its span.

    Keys: `principal`, `rule`, `action`, `model`, `version`, `decision` ("allowed" or "denied"); each `None` if unknown.
    """
    principal, caller, parameters = context.principal, context.caller, scope.get("path_params", {})
    decision = caller.decisions[-1] if caller and caller.decisions else None
    return {
        "principal": principal.name if principal else None,
        "rule": decision.rule if decision else None,
        "action": decision.action if decision else None,
        "model": decision.model if decision else None,
        "version": parameters.get("version") or parameters.get("ref"),
        "decision": None if decision is None else "allowed" if decision.allowed else "denied",
    }


def first_header(scope: Scope, wanted: bytes) -> str:
    """The first value of a header, or an empty string; the framework's own lookup takes ten times as long."""
    for name, value in scope["headers"]:
        if name == wanted:
            return str(value, "latin-1")
    return ""
