"""The app: routers, problem handlers, middleware."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

from modelkeep.bootstrap import State, build, open_storage
from modelkeep.http import problems
from modelkeep.http.middleware.authentication import Authenticated
from modelkeep.http.middleware.rate_limits import RateLimits
from modelkeep.http.middleware.requests import Guarded, Observed
from modelkeep.http.openapi import DocumentedApi
from modelkeep.http.server.graceful_shutdown import Stopping
from modelkeep.routers import aliases, docs, downloads, events, health, models, stages, tokens, uploads, versions
from modelkeep.routers.download_fast_path import Shortcut
from modelkeep.settings import Settings
from modelkeep.storage.instrumentation import Call, Note
from modelkeep.storage.local import file_routes
from modelkeep.telemetry import logging, tracing
from modelkeep.telemetry.metrics import Metrics
from modelkeep.telemetry.tracing import Traced, Tracing

_NO_TELEMETRY: Final[TelemetryConfig] = {"auto_configure": False, "tracing": False, "metrics": False, "logs": False}
"""FastAPI's own would send the queries of URLs, signatures included, to whatever collects for this process."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the app; its lifespan opens storage. Without settings they are read from the environment."""
    settings = settings or Settings()
    logging.configure(settings.log_level)
    metrics, stopping, traces = Metrics(), Stopping(settings.shutdown_delay_seconds), tracing.from_environment()
    app = DocumentedApi(
        title="Model registry",
        version=version("modelkeep"),
        summary="One production version per model, at every instant.",
        lifespan=_lifespan(settings, stopping, metrics, traces),
        telemetry=_NO_TELEMETRY,
        responses=problems.OTHERWISE,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.router.routes.insert(0, Shortcut())
    for router in (models, uploads, versions, stages, aliases, downloads, events, tokens):
        app.include_router(router.router)
    app.include_router(health.create_router(metrics, stopping))
    if settings.backend == "local":
        app.include_router(file_routes.router)
    if settings.docs:
        app.include_router(docs.router)
    problems.install(app)
    app.add_middleware(
        Authenticated,
        asks_nobody=settings.auth == "none",
        limits=RateLimits(requests=settings.requests_per_10_seconds, failures=settings.failed_logins_per_minute),
        note=metrics.count_login,
    )
    app.add_middleware(Guarded)
    app.add_middleware(Observed, metrics=metrics, stopping=stopping)
    if traces:
        app.add_middleware(Traced, tracer=traces.tracer)
    return app


def _lifespan(
    settings: Settings, stopping: Stopping, metrics: Metrics, traces: Tracing | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[State]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with AsyncExitStack() as stack:
            if traces:
                await stack.enter_async_context(traces.exported())
            opening = open_storage(settings, metrics.count_retry)
            table, store = await stack.enter_async_context(opening)
            stack.enter_context(stopping.announced())
            on_call = _counted_and_traced(metrics, traces) if traces else metrics.count_call
            yield build(
                table,
                store,
                settings,
                on_call=on_call,
                on_change=metrics.count_change,
                on_stale=metrics.count_stale,
                is_ending=lambda: stopping.asked,
            )

    return lifespan


def _counted_and_traced(metrics: Metrics, traces: Tracing) -> Note:
    def note(call: Call) -> None:
        metrics.count_call(call)
        traces.note_call(call)

    return note
