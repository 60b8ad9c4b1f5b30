"""Organizations that are measured: a store on each engine, with a CA, people and devices; and their API.

Both engines wait for the disk at each commit, as they do in use: the PostgreSQL of the tests does not.
"""

import http.client
import json
import os
import secrets
import socket
import ssl
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from support.own_authority import pem, request_der
from support.postgres import PostgresCluster
from typing_extensions import override

from benchmarks.accounting import cpu_seconds
from benchmarks.site import Site
from gateway.adapters.ca_keys import CaKeys, LocalSigner, encrypted, make_passphrase
from gateway.adapters.memory import SystemRandomness
from gateway.adapters.store import Store
from gateway.adapters.store.address import store_address
from gateway.model.ids import IdKind, new_id
from gateway.model.issued import AuthorityKind, AuthorityRecord
from gateway.model.org import (
    ApiToken,
    Device,
    DeviceStatus,
    TokenScope,
    User,
    UserSource,
    UserStatus,
    default_certificate_name,
)
from gateway.model.settings import CaSettings
from gateway.pki.certification_request import parse_certification_request
from gateway.server.org.authentication import new_token, token_sha256
from gateway.services.authorities import AuthorityNames, NewKey, initialise
from gateway.services.issuing import Issued, issue
from gateway.system_log.catalog import Occasion, job

SQLITE: Final = "SQLite"
POSTGRESQL: Final = "PostgreSQL"
_ORG_HOST: Final = "sso.example.test"
_ANSWER_SECONDS: Final = 60.0
_POSTGRESQL_SETTINGS: Final = """\
fsync = on
full_page_writes = on
synchronous_commit = on
autovacuum = on
shared_buffers = 256MB
max_wal_size = 4GB
"""


@dataclass(frozen=True, slots=True)
class Engine:
    """Where a store is. ``server`` is the process of its database, if it has one."""

    name: str
    url: str
    server: int | None = None

    def cpu_seconds(self) -> float:
        """Of the database's processes so far; those of SQLite are its callers'."""
        return 0.0 if self.server is None else cpu_seconds(self.server)

    def stored_bytes(self) -> int:
        """All that the store takes on the disk."""
        store = Store.open(self.url)
        try:
            file = store.address.sqlite_file
            if file is not None:
                return sum(path.stat().st_size for path in file.parent.glob(f"{file.name}*"))
            with store.connected() as connection:
                size = "select pg_database_size(current_database())"
                return int(connection.exec_driver_sql(size).scalar_one())
        finally:
            store.close()


@contextmanager
def engines(directory: Path) -> Iterator[tuple[Engine, Engine]]:
    """A new SQLite file in ``directory``, and a new database of a PostgreSQL of our own, with all tables."""
    with PostgresCluster.running(settings=_POSTGRESQL_SETTINGS) as cluster:
        yield sqlite(directory), postgresql(cluster)


def sqlite(directory: Path) -> Engine:
    directory.mkdir(parents=True, exist_ok=True)
    return Engine(SQLITE, f"sqlite:///{directory}/{secrets.token_hex(4)}.db")


def postgresql(cluster: PostgresCluster) -> Engine:
    url = cluster.create_database()
    store = Store.reach(store_address(url))
    store.migrate()
    store.close()
    return Engine(POSTGRESQL, url, cluster.pids()[0])


class OrgSite:
    """One organization in the store of an engine. ``site`` holds the gateway that it belongs to."""

    def __init__(self, site: Site, engine: Engine, *, crl_shards: int = 16) -> None:
        self.site = site
        self.engine = engine
        self.store = Store.open(engine.url)
        self.rules = CaSettings()
        keys_directory = str(site.directory / "var/keys")
        self.keys = CaKeys(lambda: self.rules, keys_directory)
        self.randomness = SystemRandomness()
        self.socket = Path(keys_directory, "org")
        self._device_key = ec.generate_private_key(ec.SECP256R1())
        self.request_der = request_der(self._device_key)
        self._request = parse_certification_request(self.request_der)
        root, issuing = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.issuing_key_pem = _plain_pem(issuing)
        names = AuthorityNames("acme", "http://sso.example.test", crl_shards=crl_shards)
        new_key = NewKey(
            LocalSigner(issuing), pem=encrypted(issuing, make_passphrase(self.rules, keys_directory))
        )
        secret = secrets.token_bytes(32)
        self.token = new_token(secret)
        with self.store.begin() as work:
            initialise(work, names, NewKey(LocalSigner(root)), new_key, self.occasion(), self.randomness)
            work.tokens.add(
                ApiToken(
                    id=new_id(IdKind.API_TOKEN, secret),
                    name="benchmark",
                    scope=TokenScope.ADMIN,
                    secret_sha256=token_sha256(self.token),
                    user="admin@example.test",
                    created=datetime.now(UTC),
                )
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.store.close()

    def occasion(self) -> Occasion:
        return job(datetime.now(UTC), lambda: str(uuid.uuid4()), uuid.uuid4().hex)

    def authority(self) -> AuthorityRecord:
        """The one that issues."""
        with self.store.read() as view:
            return view.authorities.all(AuthorityKind.ISSUING)[-1]

    def people(self, count: int) -> list[tuple[User, Device]]:
        """So many new users, each with a device."""
        now = datetime.now(UTC)
        made = []
        for _ in range(count):
            user_id, device_id = (new_id(kind, os.urandom(13)) for kind in (IdKind.USER, IdKind.DEVICE))
            login = f"{user_id.lower()}-{secrets.token_hex(4)}@example.test"
            user = User(user_id, login, login, "", "", UserStatus.ACTIVE, UserSource.LOCAL, now, now)
            name = default_certificate_name(device_id)
            made.append((user, Device(device_id, "ws", name, "WINDOWS", DeviceStatus.ACTIVE, now, now)))
        with self.store.begin() as work:
            work.users.add_many(user for user, _ in made)
            work.devices.add_many(device for _, device in made)
        return made

    def issue(self, user: User, device: Device) -> Issued:
        """The whole use case: reserve, commit, sign, complete with the log, commit."""
        return issue(
            self.store,
            self.keys,
            self._request,
            device.id,
            user.id,
            self.rules,
            self.occasion(),
            self.randomness,
        )

    def write_certificate(self, name: str, issued: Issued) -> Path:
        """Key, certificate and issuer in one file."""
        path = self.site.directory / f"{name}.pem"
        path.write_bytes(_plain_pem(self._device_key) + pem(*issued.chain))
        return path

    def configuration(self, *, enforcement: str = "sign_on", workers: int = 1) -> dict[str, Any]:
        """gateway.yaml of the site, with this store and its CA."""
        configuration = self.site.configuration(enforcement=enforcement, workers=workers)
        configuration["store"] = self.engine.url
        configuration["device_trust"]["authorities"].append({"name": "builtin", "builtin": True})
        return configuration


def _plain_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class Api:
    """The API of a running gateway, at the org host over TLS, on a connection that stays open."""

    def __init__(self, org: OrgSite) -> None:
        self._connection = _ToLoopback(org.site)
        self._fields = {"Authorization": f"SSWS {org.token}", "Content-Type": "application/json"}

    def ask(self, method: str, target: str, body: Any = None) -> Any:
        """The JSON of a successful answer. Raises ValueError for any other."""
        return self.ask_with_links(method, target, body)[0]

    def ask_with_links(self, method: str, target: str, body: Any = None) -> tuple[Any, Sequence[str]]:
        """The same with the values of the answer's Link fields."""
        content = None if body is None else json.dumps(body)
        self._connection.request(method, target, content, headers=self._fields)
        response = self._connection.getresponse()
        text = response.read()
        if response.status >= 300:
            raise ValueError(f"{method} {target}: {response.status} {text[:500]!r}")
        return json.loads(text) if text else None, response.headers.get_all("link") or ()

    def close(self) -> None:
        self._connection.close()


class _ToLoopback(http.client.HTTPSConnection):
    def __init__(self, site: Site) -> None:
        context = ssl.create_default_context(cadata=site.web_pem)
        super().__init__(_ORG_HOST, site.https_port, timeout=_ANSWER_SECONDS, context=context)
        self._context_of_all = context

    @override
    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), _ANSWER_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._context_of_all.wrap_socket(plain, server_hostname=_ORG_HOST)


@contextmanager
def organizations(directory: Path, *, crl_shards: int = 16) -> Iterator[tuple[OrgSite, OrgSite]]:
    """One on each engine, with a site of its own."""
    with ExitStack() as stack:
        made = []
        for engine in stack.enter_context(engines(directory)):
            own = directory / engine.name.lower()
            own.mkdir(parents=True, exist_ok=True)
            made.append(stack.enter_context(OrgSite(Site(own), engine, crl_shards=crl_shards)))
        first, second = made
        yield first, second
