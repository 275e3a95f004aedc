"""Liveness, readiness, metrics."""

from fastapi import APIRouter, Response

from modelkeep.domain.errors import BucketOwnedError
from modelkeep.http.dependencies import Health
from modelkeep.http.openapi import PUBLIC
from modelkeep.http.problems import error_responses
from modelkeep.http.server.graceful_shutdown import GracefulShutdown
from modelkeep.schemas.health import HealthResponse
from modelkeep.telemetry.metrics import CONTENT_TYPE_LATEST, Metrics


def create_router(metrics: Metrics, shutdown: GracefulShutdown) -> APIRouter:
    """The routes for probes and Prometheus."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", response_description="The process runs.", openapi_extra=PUBLIC)
    async def get_liveness() -> HealthResponse:
        """Liveness: the process runs. Nothing else is checked."""
        return HealthResponse()

    @router.get(
        "/readyz",
        response_description="It can serve.",
        responses=error_responses(BucketOwnedError, is_public=True),
        openapi_extra=PUBLIC,
    )
    async def get_readiness(health: Health) -> HealthResponse:
        """Readiness: the table answers, the object store has been reached, and the process is not shutting down."""
        shutdown.check()
        await health.check()
        return HealthResponse()

    @router.get(
        "/metrics",
        response_class=Response,
        response_description="Metrics of this process, in Prometheus's text format.",
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        openapi_extra=PUBLIC,
    )
    async def get_metrics() -> Response:
        """Metrics for Prometheus; each worker process has its own."""
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)

    return router
