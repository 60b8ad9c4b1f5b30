"""The demo's front page: apps to open, and devices whose certificates can be put on hold and released."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from gateway.cli.demo_parts.api import Api, DemoOrg
from gateway.cli.demo_parts.client import DemoClientError
from gateway.cli.demo_parts.idp import RegisteredApp
from gateway.cli.demo_parts.pages import page

_DEVICES = ("alice", "bob")


class Desk:
    """Where the person in front of the demo is its administrator, too: by the API, as any other program."""

    def __init__(self, apps: Sequence[RegisteredApp], api: Api, org: DemoOrg) -> None:
        self._apps = apps
        self._api = api
        self._certificates = {name: org.devices[name].thumbprint for name in _DEVICES}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._show),
            web.post("/devices/{device}/{step:hold|release}", self._change),
        ]

    async def _show(self, _request: web.Request) -> web.Response:
        apps = [{"name": app.name, "label": app.label, "url": app.entity_id} for app in self._apps]
        devices = [
            {"name": name, "status": (await self._certificate("GET", path))["status"]}
            for name, path in self._certificates.items()
        ]
        return page("desk", apps=apps, devices=devices)

    async def _change(self, request: web.Request) -> web.Response:
        thumbprint = self._certificates.get(request.match_info["device"])
        if thumbprint is None:
            raise web.HTTPNotFound(text="no such device\n")
        await self._certificate("POST", f"{thumbprint}/lifecycle/{request.match_info['step']}")
        return web.Response(status=303, headers={"Location": "/"})

    async def _certificate(self, method: str, path: str | None) -> Any:
        try:
            return await self._api.call(method, f"/certificates/{path}")
        except DemoClientError as refused:
            raise web.HTTPConflict(text=f"{refused}\n") from None
