"""The app: routers, problem handlers, middleware."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from app import logging, problems
from app.lifespan import State, build, open_storage
from app.metrics import Metrics
from app.middleware import Guarded, Observed
from app.openapi import DocumentedApi
from app.routers import aliases, downloads, events, health, models, stages, uploads, versions
from app.settings import Settings
from app.storage.local import file_routes

AUTH_SENTENCE = (
    "REGISTRY_AUTH is not set. Nothing but REGISTRY_AUTH=none exists yet: whoever reaches the port may do everything."
    " Set it if only a network that you trust reaches the port."
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the app; its lifespan opens storage. Without settings they are read from the environment.

    Raises `ValueError` with a sentence for the operator if the settings do not say who may call.
    """
    settings = settings or Settings()
    if settings.auth is None:
        raise ValueError(AUTH_SENTENCE)
    logging.configure(settings.log_level)
    metrics = Metrics()
    app = DocumentedApi(
        title="Model registry",
        version=version("model-registry"),
        summary="One production version per model, at every instant.",
        lifespan=_lifespan(settings),
        responses=problems.OTHERWISE,
        docs_url="/docs" if settings.docs else None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    for router in (models, uploads, versions, stages, aliases, downloads, events):
        app.include_router(router.router)
    app.include_router(health.create_router(metrics))
    if settings.backend == "local":
        app.include_router(file_routes.router)
    problems.install(app)
    app.add_middleware(Guarded)
    app.add_middleware(Observed, metrics=metrics)
    return app


def _lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[State]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with open_storage(settings) as (table, store):
            yield build(table, store, settings)

    return lifespan
