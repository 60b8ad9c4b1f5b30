"""The demo's front page: the apps to open, and the devices whose certificates can be revoked and restored."""

from collections.abc import Sequence

from aiohttp import web

from gateway.cli.demo_parts.idp import RegisteredApp
from gateway.cli.demo_parts.pages import page, wants_html
from gateway.cli.demo_parts.site import Devices

REVOCABLE = ("alice", "bob")


class Desk:
    """Where the person in front of the demo is its administrator, too."""

    def __init__(self, apps: Sequence[RegisteredApp], devices: Devices) -> None:
        self._apps = apps
        self._devices = devices

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._show),
            web.post("/devices/{device}/revoke", self._revoke),
            web.post("/devices/{device}/restore", self._restore),
        ]

    async def _show(self, _request: web.Request) -> web.Response:
        apps = [{"name": app.name, "label": app.label, "url": app.entity_id} for app in self._apps]
        revoked = self._devices.revoked
        devices = [{"name": name, "revoked": name in revoked} for name in REVOCABLE]
        return page("desk", apps=apps, devices=devices)

    async def _revoke(self, request: web.Request) -> web.Response:
        self._devices.revoke(self._device(request))
        return self._done(request)

    async def _restore(self, request: web.Request) -> web.Response:
        self._devices.restore(self._device(request))
        return self._done(request)

    def _device(self, request: web.Request) -> str:
        name = request.match_info["device"]
        if name not in REVOCABLE:
            raise web.HTTPNotFound(text="no such device\n")
        return name

    def _done(self, request: web.Request) -> web.Response:
        if wants_html(request):
            return web.Response(status=303, headers={"Location": "/"})
        return web.json_response({"revoked": sorted(self._devices.revoked)})
