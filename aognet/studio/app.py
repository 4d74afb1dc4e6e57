"""The web process: a FastAPI application of all routes, and the page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from aognet import __version__
from aognet.studio import problems
from aognet.studio.config import StudioConfig
from aognet.studio.guards import Guard, most_bytes
from aognet.studio.metrics import Counting
from aognet.studio.page_files import serve_page
from aognet.studio.routes import (
    export_routes,
    job_routes,
    light_routes,
    panorama_routes,
    session_routes,
    system_routes,
    upload_routes,
)
from aognet.studio.service import Service

ROUTES = (job_routes, panorama_routes, light_routes, upload_routes, export_routes, session_routes, system_routes)


def make_app(config: StudioConfig) -> FastAPI:
    """Return the application of a studio. Its tables and connections are made when it starts."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        service = app.state.service = await asyncio.to_thread(Service, config)
        watching = [asyncio.create_task(service.listeners.watch())]
        warming = asyncio.create_task(asyncio.to_thread(lambda: service.models.described))
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, warming, return_exceptions=True)
            service.close()

    app = FastAPI(
        title="AOG-Net studio",
        version=__version__,
        lifespan=life,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    problems.install(app)
    # The last that is added is the first that a request meets.
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=most_bytes(config))
    app.add_middleware(Guard, config=config)
    app.add_middleware(Counting)
    for routes in ROUTES:
        app.include_router(routes.router, prefix="/api/v1")
    serve_page(app)
    return app
