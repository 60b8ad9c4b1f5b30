"""`/api/v1/iwas`: the IWA web apps, by whose word computers enroll."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from gateway.adapters.store import Work
from gateway.enrollment.parties import iwa_issuer, org_audience
from gateway.model.ids import IdKind
from gateway.model.iwa import Iwa, IwaStatus
from gateway.model.org import TokenScope
from gateway.server.org import members
from gateway.server.org.call import Call
from gateway.server.org.listing import list_of
from gateway.server.org.openapi import answers, reference, takes
from gateway.server.org.route import NO_CONTENT, Answer, Route
from gateway.services import iwas
from gateway.services.iwas import IwaProfile
from gateway.system_log.catalog import Occasion
from gateway.system_log.wire import timestamp

_MOMENT: Final = {"type": "string", "format": "date-time"}
_MOMENT_OR_NULL: Final = {"type": ["string", "null"], "format": "date-time"}
_WRITTEN: Final = {
    "name": {
        "type": "string",
        "minLength": 1,
        "maxLength": iwas.MAX_NAME_CHARACTERS,
        "description": "Unique: one that is registered again by its name keeps its id.",
    },
    "url": {
        "type": "string",
        "maxLength": iwas.MAX_URL_CHARACTERS,
        "description": "Where agents find it, such as https://iwa.corp.example.com/iwa.",
    },
    "public_jwk": {
        "type": "object",
        "description": "The key that it signs with: the public JWK (RFC 7517) of a P-256 key.",
    },
    "version": {"type": "string", "maxLength": iwas.MAX_VERSION_CHARACTERS},
    "realms": {
        "type": "array",
        "maxItems": iwas.MAX_REALMS,
        "items": {"type": "string", "minLength": 1, "maxLength": iwas.MAX_REALM_CHARACTERS},
        "description": "Accounts of which it may vouch for; none: of any.",
    },
}
SCHEMAS: Final[dict[str, Any]] = {
    "IwaWrite": {"type": "object", "required": ["name", "url", "public_jwk"], "properties": _WRITTEN},
    "Iwa": {
        "type": "object",
        "required": [
            "id",
            "name",
            "url",
            "public_jwk",
            "key_id",
            "version",
            "realms",
            "status",
            "primary",
            "online",
            "audience",
            "issuer",
            "created",
            "last_updated",
            "_links",
        ],
        "properties": {
            "id": {"type": "string"},
            **_WRITTEN,
            "key_id": {"type": "string", "description": "Thumbprint of the key (RFC 7638)."},
            "status": {"enum": [status.value for status in IwaStatus]},
            "primary": {"type": "boolean", "description": "Agents try it first."},
            "online": {"type": "boolean", "description": "It has reported itself within 90 seconds."},
            "audience": {"type": "string", "description": "`aud` of its user tokens and reports."},
            "issuer": {"type": "string", "description": "`iss` of its tokens."},
            "created": _MOMENT,
            "last_updated": _MOMENT,
            "last_seen": _MOMENT_OR_NULL,
            "health": {"type": "object", "description": "What it said of itself then."},
            "_links": {"type": "object"},
        },
    },
}

UseCase = Callable[[Work, Occasion, Iwa], Iwa]


async def list_iwas(call: Call) -> Answer:
    found = await call.store.read(lambda view: view.iwas.all())
    return Answer(json=[iwa_json(call, iwa) for iwa in found])


async def register_iwa(call: Call) -> Answer:
    profile = _profile(call)
    occasion, iwa_id = call.occasion(), call.new_id(IdKind.IWA)
    iwa = await call.store.change(lambda work: iwas.register_iwa(work, occasion, iwa_id, profile))
    return Answer(json=iwa_json(call, iwa))


async def get_iwa(call: Call) -> Answer:
    identifier = call.parameters["iwaId"]
    iwa = await call.store.read(lambda view: iwas.find_iwa(view.iwas, identifier))
    return Answer(json=iwa_json(call, iwa))


async def replace_iwa(call: Call) -> Answer:
    profile = _profile(call)
    return await _changed(call, lambda work, occasion, iwa: iwas.update_iwa(work, occasion, iwa, profile))


async def delete_iwa(call: Call) -> Answer:
    occasion, identifier = call.occasion(), call.parameters["iwaId"]

    def use_case(work: Work) -> None:
        iwas.remove_iwa(work, occasion, iwas.find_iwa(work.iwas, identifier, lock=True))

    await call.store.change(use_case)
    return NO_CONTENT


def _lifecycle(use_case: UseCase) -> Callable[[Call], Awaitable[Answer]]:
    async def change(call: Call) -> Answer:
        return await _changed(call, use_case)

    return change


def _set_status(status: IwaStatus) -> UseCase:
    return lambda work, occasion, iwa: iwas.set_iwa_status(work, occasion, iwa, status)


async def _changed(call: Call, use_case: UseCase) -> Answer:
    occasion, identifier = call.occasion(), call.parameters["iwaId"]
    iwa = await call.store.change(
        lambda work: use_case(work, occasion, iwas.find_iwa(work.iwas, identifier, lock=True))
    )
    return Answer(json=iwa_json(call, iwa))


def iwa_json(call: Call, iwa: Iwa) -> dict[str, Any]:
    itself = f"{call.base_url}/api/v1/iwas/{iwa.id}"
    return {
        "id": iwa.id,
        "name": iwa.name,
        "url": iwa.url,
        "public_jwk": dict(iwa.public_jwk),
        "key_id": iwa.key_id,
        "version": iwa.version,
        "realms": list(iwa.realms),
        "status": iwa.status.value,
        "primary": iwa.is_primary,
        "online": iwa.online,
        "audience": org_audience(call.configuration.org_name),
        "issuer": iwa_issuer(iwa.id),
        "created": timestamp(iwa.created),
        "last_updated": timestamp(iwa.last_updated),
        "last_seen": None if iwa.last_seen is None else timestamp(iwa.last_seen),
        "health": dict(iwa.health),
        "_links": {"self": {"href": itself}},
    }


def _profile(call: Call) -> IwaProfile:
    body = call.json_object(known=_WRITTEN)
    return IwaProfile(
        name=members.text(body, "name", ""),
        url=members.text(body, "url", ""),
        public_jwk=members.an_object(body, "public_jwk"),
        version=members.text(body, "version", "", ""),
        realms=tuple(members.texts(body, "realms")),
    )


def _operation(summary: str, responses: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"tags": ["IWA"], "summary": summary, "responses": responses, **more}


_PATH: Final = "/api/v1/iwas"
_ONE: Final = answers("The IWA web app.", reference("Iwa"))
_BODY: Final = takes(reference("IwaWrite"))


def _step(name: str, summary: str, use_case: UseCase) -> Route:
    return Route(
        "POST",
        f"{_PATH}/{{iwaId}}/lifecycle/{name}",
        TokenScope.ADMIN,
        _lifecycle(use_case),
        _operation(summary, _ONE),
    )


ROUTES: Final[Sequence[Route]] = (
    Route(
        "GET",
        _PATH,
        TokenScope.READ,
        list_iwas,
        _operation("List IWA web apps", answers("All of them.", list_of(reference("Iwa")))),
    ),
    Route(
        "POST",
        _PATH,
        TokenScope.ADMIN,
        register_iwa,
        _operation("Register an IWA web app, or one of this name again", _ONE, requestBody=_BODY),
    ),
    Route(
        "GET",
        f"{_PATH}/{{iwaId}}",
        TokenScope.READ,
        get_iwa,
        _operation("An IWA web app, by id or name", _ONE),
    ),
    Route(
        "PUT",
        f"{_PATH}/{{iwaId}}",
        TokenScope.ADMIN,
        replace_iwa,
        _operation("Replace what is known of an IWA web app", _ONE, requestBody=_BODY),
    ),
    Route(
        "DELETE",
        f"{_PATH}/{{iwaId}}",
        TokenScope.ADMIN,
        delete_iwa,
        _operation("Remove an IWA web app", {"204": {"description": "Done."}}),
    ),
    _step("activate", "Believe an IWA web app again", _set_status(IwaStatus.ENABLED)),
    _step("deactivate", "Believe an IWA web app no more", _set_status(IwaStatus.DISABLED)),
    _step("promote", "Let agents try this IWA web app first", iwas.promote_iwa),
)
