"""The lines to copy: requests that bring a run take part in it, requests to other services of yours hand it on."""

from __future__ import annotations

import httpx
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

import mas_guard


class OneRun:
    """Works inside of the run that a request brings, and for the tenant that it names.

    An ASGI middleware and no dependency: what a dependency enters is left again before a synchronous endpoint begins.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        try:
            with mas_guard.tenant(headers.get("x-tenant")), mas_guard.extract(headers):
                await self.app(scope, receive, send)
        except mas_guard.StoreUnavailable as lost:  # the run cannot be found: nothing was begun
            await JSONResponse({"error": str(lost)}, 503, {"Retry-After": "5"})(scope, receive, send)


async def hand_on(request: httpx.Request) -> None:
    """For `httpx.AsyncClient(event_hooks={"request": [hand_on]})`, a client that talks to your own services alone."""
    mas_guard.inject(request.headers)
