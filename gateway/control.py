"""The control endpoints: health, and the OpenAPI page. FastAPI; nothing here is in a hurry."""

from typing import Any

from fastapi import FastAPI, Response
from pydantic import BaseModel

from gateway import openapi
from gateway.health import Health


class Status(BaseModel):
    """Whether this gateway lives, or is ready."""

    status: str


class Report(BaseModel):
    """The gateway's parts."""

    status: str
    node: str
    components: dict[str, dict[str, Any]]


class Control(FastAPI):
    """FastAPI, whose page tells of the relayed paths as well."""

    def openapi(self) -> dict[str, Any]:
        """See FastAPI."""
        if self.openapi_schema is None:
            self.openapi_schema = openapi.with_relayed(super().openapi())
        return self.openapi_schema


def control_app(health: Health, node: str) -> FastAPI:
    """The ASGI application of `/health*` and `/openapi.json`."""
    app = Control(title="Federation gateway", docs_url=None, redoc_url=None)

    @app.get("/health/live")
    async def live() -> Status:
        """The process answers. Says nothing of what it needs."""
        return Status(status="ok")

    @app.get("/health/ready", responses={503: {"model": Status}})
    async def ready(response: Response) -> Status:
        """Whether a completion asked for now would have a chance; 503 when not."""
        if health.ready:
            return Status(status="ready")
        response.status_code = 503
        return Status(status="draining" if health.draining else "not ready")

    @app.get("/health", responses={503: {"model": Report}})
    async def components(response: Response) -> Report:
        """The parts and how they are; 503 when the gateway is not ready."""
        response.status_code = 200 if health.ready else 503
        status = "ready" if health.ready else "draining" if health.draining else "not ready"
        return Report(status=status, node=node, components=health.components())

    return app
