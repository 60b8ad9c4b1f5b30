"""From method and path to a route. Paths are matched segment by segment, each decoded once (RFC 3986 §2.1),
so that `/` within an identifier stays within it, and `..` leads nowhere."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.server.org.errors import method_not_supported, path_not_found
from gateway.server.org.route import Route
from gateway.server.org.strict_json import is_storable

MAX_PATH_CHARACTERS: Final = 2_048
# An OCSP request in a path is base64, which has slashes.
MAX_SEGMENTS: Final = 64


@dataclass(frozen=True, slots=True)
class Matched:
    route: Route
    parameters: Mapping[str, str]


@dataclass(slots=True)
class _Node:
    fixed: dict[str, "_Node"] = field(default_factory=dict)
    parameter: "_Node | None" = None
    name: str = ""
    takes_rest: bool = False
    routes: dict[str, Route] = field(default_factory=dict)


class RoutingTable:
    """Raises ValueError for two routes that take the same requests."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._root = _Node()
        for route in self.routes:
            self._add(route)

    def match(self, method: str, raw_path: str) -> Matched:
        """``raw_path`` as it was sent, without the query. Raises ApiError: 404, or 405 with the methods that
        there are. HEAD goes where GET goes."""
        if len(raw_path) > MAX_PATH_CHARACTERS:
            raise path_not_found()
        node = self._root
        parameters: dict[str, str] = {}
        segments = _segments(raw_path)
        for at, segment in enumerate(segments):
            following = node.fixed.get(segment)
            if following is None:
                following = node.parameter
                if following is None or segment == "":
                    raise path_not_found()
                parameters[following.name] = segment
            node = following
            if node.takes_rest:
                parameters[node.name] = "/".join(segments[at:])
                break
        if not node.routes:
            raise path_not_found()
        route = node.routes.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = {*node.routes, *(("HEAD",) if "GET" in node.routes else ())}
            raise method_not_supported(sorted(allowed))
        return Matched(route, parameters)

    def _add(self, route: Route) -> None:
        node = self._root
        for segment in route.path.removeprefix("/").split("/"):
            if segment.startswith("{"):
                name = segment[1:-1].removesuffix("*")
                if node.parameter is None:
                    node.parameter = _Node(name=name, takes_rest=segment.endswith("*}"))
                node = node.parameter
                if node.name != name:
                    raise ValueError(f"{route.path}: {{{name}}} is called {{{node.name}}} elsewhere")
            else:
                node = node.fixed.setdefault(segment, _Node())
        if route.method in node.routes:
            raise ValueError(f"{route.method} {route.path} is there twice")
        node.routes[route.method] = route


def _segments(raw_path: str) -> list[str]:
    if not raw_path.startswith("/"):
        raise path_not_found()
    segments = raw_path[1:].split("/")
    if len(segments) > MAX_SEGMENTS:
        raise path_not_found()
    return [_decoded(segment) for segment in segments]


def _decoded(segment: str) -> str:
    try:
        text = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeError:  # bytes that are no UTF-8, or a path that is no text
        raise path_not_found() from None
    if text in (".", "..") or not is_storable(text):
        raise path_not_found()
    return text
