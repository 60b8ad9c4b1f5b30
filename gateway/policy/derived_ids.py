"""Ids for what a file names: the same name has the same id on every gateway, after every start."""

from hashlib import sha256
from typing import Final

from gateway.model.ids import IdKind, new_id

DEFAULT_RULE: Final = "default"


def derived_id(kind: IdKind, *names: str) -> str:
    """``names`` say where the thing stands, from the outside in. An id from random bytes collides with one
    of these as rarely as with another random one."""
    seed = "\0".join((kind.value, *names))
    return new_id(kind, sha256(seed.encode("utf-8", "surrogatepass")).digest())


def file_rule_id(app: str, rule_name: str) -> str:
    """Of a rule that has no id in its document. It is gone when the rule is renamed in the file."""
    return derived_id(IdKind.RULE, "rule", app, rule_name)


def default_rule_id(app: str) -> str:
    return derived_id(IdKind.RULE, DEFAULT_RULE, app)


def file_zone_id(name: str) -> str:
    return derived_id(IdKind.ZONE, "zone", name)
