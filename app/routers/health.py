"""Liveness, readiness, metrics."""

from fastapi import APIRouter, Response

from app.dependencies import Health
from app.metrics import CONTENT_TYPE_LATEST, Metrics


def create_router(metrics: Metrics) -> APIRouter:
    """The routes that operators watch."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    async def get_liveness() -> dict[str, str]:
        """Tell that the process runs."""
        return {"status": "ok"}

    @router.get("/readyz")
    async def get_readiness(health: Health) -> dict[str, str]:
        """Tell whether the table answers."""
        await health.check()
        return {"status": "ok"}

    @router.get("/metrics", response_class=Response)
    async def get_metrics() -> Response:
        """Tell Prometheus how it goes."""
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)

    return router
