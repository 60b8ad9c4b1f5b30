"""The policy of an app as an ACCESS_POLICY policy, and where on the wire a document's fault stands."""

from typing import Any, Final

from gateway.model.org import StoredPolicy
from gateway.policy.conditions import BUILT_IN_KEYS
from gateway.policy.errors import KeyPath, PolicyInvalid
from gateway.policy.wire.refusal import Problem, WireRefused, read_object, refused, shown
from gateway.policy.wire.rules import time_text

POLICY_TYPE: Final = "ACCESS_POLICY"
_KNOWN: Final = (
    *("id", "type", "name", "description", "priority", "status", "system", "conditions"),
    *("app", "source", "default", "fileChanged", "created", "lastUpdated", "_links", "_embedded"),
    *("warnings", "enforcement"),
)
# Where the value of a rule key stands in a wire rule.
_FIELDS: Final[dict[str, str]] = {
    "people": "conditions.people",
    "location": "conditions.network",
    "clients": "conditions.office365Client",
    "platforms": "conditions.platform",
    "device_trust": "conditions.device",
    "access": "actions.appSignOn",
}


def policy_wire(policy: StoredPolicy, url: str) -> dict[str, Any]:
    """``url`` is that of the policy. ``app``, ``source`` and ``default`` are ours."""
    active_links = {
        "self": {"href": url, "hints": {"allow": ["GET", "PUT", "DELETE"]}},
        "rules": {"href": f"{url}/rules", "hints": {"allow": ["GET", "POST"]}},
        "mappings": {"href": f"{url}/mappings", "hints": {"allow": ["GET"]}},
    }
    return {
        "id": policy.id,
        "type": POLICY_TYPE,
        "name": policy.name,
        "description": description(policy.app),
        "priority": policy.priority,
        "status": policy.status.value,
        "system": False,
        "conditions": None,
        "created": time_text(policy.created),
        "lastUpdated": time_text(policy.last_updated),
        "app": policy.app,
        "source": policy.source.value,
        "default": policy.document.get("default", "allow"),
        "_links": active_links,
    }


def description(app: str) -> str:
    return f"Sign-on policy of the app {app}"


def policy_name(raw: object, policy: StoredPolicy) -> str:
    """The name that a body gives the policy: nothing else of a policy can be written, its rules and its
    default are written as rules. Raises WireRefused."""
    body = read_object(raw, "", _KNOWN)
    expected = {
        "id": policy.id,
        "type": POLICY_TYPE,
        "status": policy.status.value,
        "system": False,
        "app": policy.app,
        "source": policy.source.value,
    }
    problems = [
        Problem(key, f"is {value} and cannot be changed here, to {shown(body[key])}")
        for key, value in expected.items()
        if key in body and body[key] != value
    ]
    if body.get("description", "") not in ("", description(policy.app)):
        problems.append(Problem("description", "policies have none of their own"))
    if body.get("priority", policy.priority) != policy.priority:
        problems.append(Problem("priority", "each app has one policy, so there is no order among them"))
    if body.get("default", policy.document.get("default", "allow")) != policy.document.get(
        "default", "allow"
    ):
        problems.append(Problem("default", "is changed by writing the built-in last rule"))
    if body.get("conditions"):
        problems.append(Problem("conditions", "a policy of type ACCESS_POLICY has none"))
    if problems:
        raise WireRefused(*problems)
    name = body.get("name")
    if not isinstance(name, str):
        raise refused("name", "is missing" if name is None else "must be text")
    return name


def wire_problem(error: PolicyInvalid) -> Problem:
    """A fault of a document, found when it was compiled, in the words of the wire."""
    path = error.path[2:] if error.path[:1] == ("rules",) else error.path
    return Problem(_field(path) or "rules", _sentence(error))


def _field(path: KeyPath) -> str:
    if not path:
        return ""
    key = str(path[0])
    if key not in BUILT_IN_KEYS and key not in ("access", "name", "status", "id", "default"):
        return f"conditions.plugIns.{key}"
    if key == "people":
        rest = path[1:]
        return "".join(
            [_FIELDS[key], *(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)]
        )
    return _FIELDS.get(key, key)


def _sentence(error: PolicyInvalid) -> str:
    known = ", ".join(error.alternatives) if 0 < len(error.alternatives) <= 12 else ""
    rule = f"rule {error.rule}: " if error.rule is not None else ""
    return f"{rule}{error.detail}" + (f"; known: {known}" if known else "")
