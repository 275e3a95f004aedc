"""The app: routers, problem handlers, middleware."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Final, TypedDict, cast

from fastapi import APIRouter, FastAPI, Request
from fastapi.telemetry import TelemetryConfig

from modelkeep.bootstrap import build_services, open_storage
from modelkeep.faces.huggingface import rows as hugging_face
from modelkeep.faces.huggingface.naming import Naming
from modelkeep.faces.huggingface.routes import HuggingFaceRoutes
from modelkeep.faces.mlflow import rows as mlflow_face
from modelkeep.faces.mlflow.routes import MlflowRoutes
from modelkeep.http import error_handlers, problems, route_table
from modelkeep.http.context import Services, context_of
from modelkeep.http.middleware.access_log import AccessLogMiddleware
from modelkeep.http.middleware.authentication import AuthenticationMiddleware
from modelkeep.http.middleware.browser_guard import BrowserGuard
from modelkeep.http.middleware.head_requests import HeadMiddleware
from modelkeep.http.middleware.rate_limits import RateLimits
from modelkeep.http.middleware.request_limits import RequestLimitMiddleware
from modelkeep.http.middleware.tracing import TracingMiddleware
from modelkeep.http.openapi import DocumentedApi
from modelkeep.http.route_table import RouteRow, RouteTable
from modelkeep.http.server.graceful_shutdown import GracefulShutdown
from modelkeep.http.server.response_watch import ResponseWatch
from modelkeep.routers import (
    aliases,
    comparisons,
    docs,
    downloads,
    events,
    health,
    models,
    rules,
    stages,
    tokens,
    uploads,
    versions,
    whoami,
)
from modelkeep.routers.download_fast_path import DownloadFastPath
from modelkeep.settings import Settings
from modelkeep.storage.instrumentation import OnCall, OperationTiming
from modelkeep.storage.local import file_routes
from modelkeep.storage.local.files import FileStore
from modelkeep.telemetry import logging, tracing
from modelkeep.telemetry.metrics import Metrics
from modelkeep.telemetry.tracing import Tracing
from modelkeep.web import routes as web_routes
from modelkeep.web import rows as web_rows

_NO_TELEMETRY: Final[TelemetryConfig] = {"auto_configure": False, "tracing": False, "metrics": False, "logs": False}
"""FastAPI's own would send the queries of URLs, signatures included, to the collector."""

ROWS: Final = (*web_rows.ROWS, *route_table.ROWS, *hugging_face.ROWS, *mlflow_face.ROWS)
"""The route table: of pages, of the API, and of other protocols."""


class LifespanState(TypedDict):
    """What the lifespan yields; the server hands it to each connection and copies it into the state of each request."""

    services: Services
    response_watch: ResponseWatch


def create_app(settings: Settings | None = None, *, rows: Sequence[RouteRow] = ROWS) -> FastAPI:
    """Build the app; its lifespan opens storage. Without `settings` they are read from the environment.

    `rows` are those of the route table: every route has to be covered by one.
    """
    settings = settings or Settings()
    logging.configure(settings.log_level, settings.log_format)
    metrics, shutdown, traces = Metrics(), GracefulShutdown(settings.shutdown_delay_seconds), tracing.from_environment()
    app = DocumentedApi(
        title="Model registry",
        version=version("modelkeep"),
        summary="One production version per model, at every instant.",
        lifespan=_lifespan(settings, shutdown, metrics, traces),
        telemetry=_NO_TELEMETRY,
        responses=problems.DEFAULT_RESPONSE,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    _include_routes(app, settings, health.create_router(metrics, shutdown))
    error_handlers.install(app)
    app.add_middleware(
        AuthenticationMiddleware,
        browser_guard=BrowserGuard(settings.public_host) if settings.auth == "none" else None,
        limits=RateLimits(requests=settings.requests_per_10_seconds, failures=settings.failed_logins_per_minute),
        trusts_proxies=bool(settings.trusted_proxies),
        on_attempt=metrics.count_authentication,
    )
    app.add_middleware(RequestLimitMiddleware)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(AccessLogMiddleware, table=RouteTable(rows), metrics=metrics, shutdown=shutdown)
    if traces:
        app.add_middleware(TracingMiddleware, tracer=traces.tracer)
    return app


def _include_routes(app: FastAPI, settings: Settings, health_router: APIRouter) -> None:
    naming = Naming(settings.hf_owners, settings.hf_main)
    app.router.routes[:0] = [DownloadFastPath(), HuggingFaceRoutes(naming), MlflowRoutes()]
    for router in (models, uploads, versions, comparisons, stages, aliases, downloads, events, tokens, rules, whoami):
        app.include_router(router.router)
    app.include_router(health_router)
    if settings.backend == "local":
        app.include_router(file_routes.create_router(_file_store))
    if settings.docs:
        app.include_router(docs.router)
    for page_router in web_routes.ROUTERS:
        app.include_router(page_router)


def _file_store(request: Request) -> FileStore:
    return cast("FileStore", context_of(request.scope).services.files)


def _lifespan(
    settings: Settings, shutdown: GracefulShutdown, metrics: Metrics, traces: Tracing | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[LifespanState]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[LifespanState]:
        async with AsyncExitStack() as stack:
            if traces:
                await stack.enter_async_context(traces.exported())
            opening = open_storage(settings, metrics.count_retry)
            table, store = await stack.enter_async_context(opening)
            stack.enter_context(shutdown.intercept_sigterm())
            watch = ResponseWatch(metrics.count_stalled_response)
            stack.enter_context(watch.sweeping())
            on_call = _count_and_trace(metrics, traces) if traces else metrics.count_operation
            services = build_services(
                table,
                store,
                settings,
                on_call=on_call,
                on_change=metrics.count_change,
                on_stale=metrics.count_stale,
                is_ending=lambda: shutdown.is_draining,
            )
            yield LifespanState(services=services, response_watch=watch)

    return lifespan


def _count_and_trace(metrics: Metrics, traces: Tracing) -> OnCall:
    def on_call(operation: OperationTiming) -> None:
        metrics.count_operation(operation)
        traces.record_operation(operation)

    return on_call
