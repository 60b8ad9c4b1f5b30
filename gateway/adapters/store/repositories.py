"""All repositories over one transaction."""

from gateway.adapters.store.authorities import Authorities
from gateway.adapters.store.certificates import Certificates
from gateway.adapters.store.crls import Crls
from gateway.adapters.store.deleted_names import DeletedNames
from gateway.adapters.store.devices import Devices
from gateway.adapters.store.feed import Feed
from gateway.adapters.store.gateways import Gateways
from gateway.adapters.store.groups import Groups
from gateway.adapters.store.iwas import Iwas
from gateway.adapters.store.log import Log
from gateway.adapters.store.one_use import OneUse
from gateway.adapters.store.org_settings import OrgSettings
from gateway.adapters.store.policies import Policies
from gateway.adapters.store.spools import Spools
from gateway.adapters.store.statements import Statements
from gateway.adapters.store.tokens import Tokens
from gateway.adapters.store.users import Users
from gateway.adapters.store.zones import Zones


class View:
    """What the store holds, as of one moment. For one thread, and only within ``with store.read()``."""

    def __init__(self, statements: Statements) -> None:
        self.users = Users(statements)
        self.groups = Groups(statements)
        self.devices = Devices(statements)
        self.iwas = Iwas(statements)
        self.deleted_names = DeletedNames(statements)
        self.certificates = Certificates(statements)
        self.authorities = Authorities(statements)
        self.crls = Crls(statements)
        self.policies = Policies(statements)
        self.zones = Zones(statements)
        self.settings = OrgSettings(statements)
        self.tokens = Tokens(statements)
        self.log = Log(statements)
        self.feed = Feed(statements)
        self.one_use = OneUse(statements)
        self.gateways = Gateways(statements)
        self.spools = Spools(statements)
