"""aiohttp's server, but for what comes that is no HTTP: anybody can send such, as much as they like. It is
answered in few words, and no line of the log is made of it, let alone a traceback."""

from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler
from typing_extensions import override


class HttpServer(web.Server):
    """``server_name`` stands in the field `Server` of those answers."""

    def __init__(self, handler: Any, *, server_name: str, **more: Any) -> None:
        super().__init__(handler, **more)
        self.server_name = server_name
        self._options = more

    @override
    def __call__(self) -> RequestHandler:
        handler = _Handler(self, loop=self._loop, **self._options)
        handler.server_name = self.server_name
        return handler


class _Handler(RequestHandler):
    __slots__ = ("server_name",)
    server_name: str

    @override
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError) and request.transport is None:
            raise exc  # who asked went away in the middle of it
        if not isinstance(exc, HttpProcessingError | web.RequestPayloadError):
            return super().handle_error(request, status, exc, message)
        if request.writer.output_size > 0:
            raise ConnectionError("it is answered in part already")
        headers = {"Server": self.server_name}
        response = web.Response(status=min(status, 400), text="not readable as HTTP/1.1\n", headers=headers)
        response.force_close()
        return response
