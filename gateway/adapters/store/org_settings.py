"""What administrators switch at run time: names and JSON values."""

from datetime import datetime

from sqlalchemy import delete, select

from gateway.adapters.store import schema
from gateway.adapters.store.statements import Statements
from gateway.model.org import SettingName

_TABLE = schema.settings


class OrgSettings:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def get(self, name: SettingName) -> object:
        """The JSON value; None where nothing was ever set (or null was)."""
        row = self._statements.first(select(_TABLE.c.value).where(_TABLE.c.name == name.value))
        return None if row is None else row[0]

    def put(self, name: SettingName, value: object, at: datetime) -> None:
        self._statements.put(_TABLE, {"name": name.value, "value": value, "last_updated": at})

    def clear(self, name: SettingName) -> bool:
        """Back to what gateway.yaml says."""
        return self._statements.change(delete(_TABLE).where(_TABLE.c.name == name.value)) == 1

    def all(self) -> dict[str, object]:
        return {row[0]: row[1] for row in self._statements.all(select(_TABLE.c.name, _TABLE.c.value))}
