"""Liveness, readiness, metrics."""

from fastapi import APIRouter, Response

from modelkeep.http.dependencies import Health
from modelkeep.http.openapi import PUBLIC
from modelkeep.http.problems import error_responses
from modelkeep.http.server.graceful_shutdown import GracefulShutdown
from modelkeep.schemas.health import HealthResponse
from modelkeep.telemetry.metrics import CONTENT_TYPE_LATEST, Metrics


def create_router(metrics: Metrics, stopping: GracefulShutdown) -> APIRouter:
    """The routes that operators watch."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", response_description="The process runs.", openapi_extra=PUBLIC)
    async def get_liveness() -> HealthResponse:
        """Tell that the process runs; nothing else is asked."""
        return HealthResponse()

    @router.get(
        "/readyz", response_description="It can.", responses=error_responses(asks_who=False), openapi_extra=PUBLIC
    )
    async def get_readiness(health: Health) -> HealthResponse:
        """Tell whether the service can serve: the table answers, and the object store has been reached."""
        stopping.check()
        await health.check()
        return HealthResponse()

    @router.get(
        "/metrics",
        response_class=Response,
        response_description="Counters of this process, in Prometheus's text format.",
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        openapi_extra=PUBLIC,
    )
    async def get_metrics() -> Response:
        """Tell Prometheus how it goes."""
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)

    return router
