"""A real PostgreSQL of our own: a cluster in a directory, on a Unix socket, with nothing of the system's.

Tests take one of the fixtures (they are known everywhere under ``tests/``):

- ``postgres_url``: the URL of a new database with the tables of the store, as `Store.open` takes it.
- ``empty_postgres_url``: the same without any table.
- ``store_url``: both engines, one after the other: a new SQLite file, then a new PostgreSQL database.

Whoever stops, kills or copies servers starts clusters of their own::

    with PostgresCluster.running(port=5433) as cluster:  # port: TCP on 127.0.0.1, too
        url = cluster.create_database("org")
        cluster.kill()      # as kill -9 of every process
        cluster.start()

PostgreSQL refuses to run as root; root's clusters run as ``postgres``. So they are in directories of their
own: those of pytest are closed to other users. Commits are not waited for on the disk (fsync=off): a killed
server loses nothing, a machine that loses power is not tested with it.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from gateway.adapters.store import Store, schema
from gateway.adapters.store.address import store_address

_USER = "postgres"
_SETTINGS = """\
fsync = off
full_page_writes = off
synchronous_commit = off
shared_buffers = 32MB
max_connections = 100
autovacuum = off
log_min_messages = warning
"""
_START_SECONDS = 30.0


def programs() -> Path:
    """The directory of the newest PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    assert found, "PostgreSQL is missing: tests/support/system_packages.sh tests"
    return found[-1].parent


class PostgresCluster:
    """One server and its files, in ``directory``, which also holds its socket."""

    def __init__(self, port: int | None = None, settings: str = "", address: str = "127.0.0.1") -> None:
        # Not below pytest's directory: the path of a socket has at most 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="dt-pg-", dir="/tmp"))
        self.port = port
        self.address = address
        self._settings = settings
        self._numbers = count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.free: list[str] = []  # databases that no test uses any more
        if os.getuid() == 0:
            account = pwd.getpwnam(_USER)
            os.chown(self.directory, account.pw_uid, account.pw_gid)

    @classmethod
    @contextmanager
    def running(
        cls, port: int | None = None, settings: str = "", address: str = "127.0.0.1"
    ) -> Iterator["PostgresCluster"]:
        """A new cluster, started; gone at the end. ``settings``: further lines of postgresql.conf."""
        cluster = cls(port, settings, address)
        try:
            cluster.initialize()
            cluster.start()
            yield cluster
        finally:
            cluster.remove()

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def initialize(self) -> None:
        self.run(
            "initdb", "-D", self.data, "-U", _USER, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"
        )
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(_SETTINGS + self._settings)
        with (self.data / "pg_hba.conf").open("a") as file:
            file.write("host all all samenet trust\n")  # matters where ``address`` is not loopback

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        tcp = ["-c", f"listen_addresses={self.address if self.port else ''}"]
        if self.port:
            tcp += ["-c", f"port={self.port}"]
        command = [programs() / "postgres", "-D", self.data, "-k", self.directory, *tcp]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "INT", *_as_user(), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.directory / "log").read_text()
                assert time.monotonic() < deadline, (self.directory / "log").read_text()
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Fast: transactions are rolled back, connections closed."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_START_SECONDS)
            self._process = None

    def kill(self) -> None:
        """The server and all its children at once, without any word."""
        if self._process is None:
            return
        pids = self.pids()
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        self._process.wait(_START_SECONDS)
        self._process = None
        # A new server refuses to start while a child of the old one is attached to its memory.
        while any(map(_runs, pids)):
            time.sleep(0.01)

    def freeze(self) -> None:
        """Every process of the server stops where it is; connections stay open."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, database: str, *, tcp: bool = False) -> str:
        """As `Store.open` and libpq take it."""
        if tcp:
            return f"postgresql://{_USER}@{self.address}:{self.port}/{database}"
        port = f"&port={self.port}" if self.port else ""
        return f"postgresql://{_USER}@/{database}?host={quote(str(self.directory))}{port}"

    def create_database(self, name: str | None = None, template: str = "template0") -> str:
        """A new database's URL."""
        name = name or f"db{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
        return self.url(name)

    def run(self, program: str, *arguments: object) -> str:
        """One of PostgreSQL's programs, as the server's user; what it prints."""
        command = [str(programs() / program), *map(str, arguments)]
        return subprocess.run(
            ["setpriv", *_as_user(), *command],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.directory,
        ).stdout

    def pids(self) -> list[int]:
        """The server and its children."""
        if self._process is None or self._process.poll() is not None:
            return []
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return [self._process.pid, *map(int, children)]

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in self.pids():
            _signal(pid, number)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # a child that ended meanwhile
        os.kill(pid, number)


def _runs(pid: int) -> bool:
    """False as soon as it has ended, also while nobody has taken notice of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _as_user() -> list[str]:
    if os.getuid() != 0:
        return []
    account = pwd.getpwnam(_USER)
    return [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """One for all tests that only need databases; do not stop it."""
    with PostgresCluster.running() as cluster:
        template = Store.reach(store_address(cluster.create_database("template_store")))
        template.migrate()
        template.close()
        yield cluster


@pytest.fixture
def postgres_url(postgres_cluster: PostgresCluster) -> Iterator[str]:
    """Databases are used again: emptying one takes a few milliseconds, making one some hundred."""
    url = postgres_cluster.free.pop() if postgres_cluster.free else None
    url = url or postgres_cluster.create_database(template="template_store")
    yield url
    _empty(url)
    postgres_cluster.free.append(url)


def _empty(url: str) -> None:
    statements = [f'DELETE FROM "{table.name}"' for table in reversed(schema.metadata.sorted_tables)]
    statements += [
        "INSERT INTO heads VALUES (1, 0, 0, decode(repeat('00', 32), 'hex'))",
        f"UPDATE alembic_version SET version_num = '{schema.SCHEMA_VERSION}'",
    ]
    with psycopg.connect(url, options="-c lock_timeout=5s") as connection:
        connection.execute("; ".join(statements).encode())


@pytest.fixture
def empty_postgres_url(postgres_cluster: PostgresCluster) -> str:
    return postgres_cluster.create_database()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store.open(store_url)
    yield opened
    opened.close()
