"""The organization as the callers of its API know it, and the calls."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gateway.cli.demo_parts.client import DemoClientError
from gateway.cli.demo_parts.loopback import client_session, trusting


@dataclass(frozen=True, slots=True)
class OrgDevice:
    """A device in the store. ``thumbprint`` is that of its certificate, None for one of another CA."""

    device_id: str
    thumbprint: str | None


@dataclass(frozen=True, slots=True)
class DemoOrg:
    """``devices`` and ``user_ids`` are by the names of certificate files and by login. ``enrollment_code`` is
    for a new computer of Alice's, once."""

    token: str
    devices: Mapping[str, OrgDevice]
    user_ids: Mapping[str, str]
    enrollment_code: str


class Api:
    """Calls over HTTPS, with the demo's token."""

    def __init__(self, origin: str, token: str, root_pem: str) -> None:
        self._base = f"{origin}/api/v1"
        self._headers = {"Authorization": f"SSWS {token}", "Accept": "application/json"}
        self._tls = trusting(root_pem)

    async def get(self, path: str, **query: str) -> Any:
        return await self.call("GET", path, query)

    async def post(self, path: str) -> Any:
        return await self.call("POST", path)

    async def call(self, method: str, path: str, query: Mapping[str, str] = MappingProxyType({})) -> Any:
        """The JSON of the answer. Raises DemoClientError for a refusal, aiohttp.ClientError, TimeoutError."""
        async with (
            client_session(self._tls) as session,
            session.request(method, self._base + path, params=query, headers=self._headers) as response,
        ):
            if response.status not in (200, 201, 204):
                raise DemoClientError(f"{method} {path}: {response.status} {(await response.text())[:200]}")
            return None if response.status == 204 else await response.json()
