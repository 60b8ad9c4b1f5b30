"""Identity providers and relying parties by others, started on loopback for one test.

The order of building is: plan the relying parties (this fixes their addresses), start the identity
provider that knows them, start the relying parties that know it. A relying party may have a public
address of its own, which is the gateway's in front of it; entity ID, assertion endpoint and login
address are then the public ones.
"""

import json
import os
import pwd
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.peer_files import MELLON_PAGE, mellon_files, simplesamlphp_files
from support.pki import Credential, federation_credential
from support.processes import ChildProcess, ProcessFailedError, free_port, http_get, program

NODE_PEERS = Path(__file__).parent.parent / "real" / "peers" / "node"
SIMPLESAMLPHP = Path("/usr/share/simplesamlphp/www")
APACHE_MODULES = Path("/usr/lib/apache2/modules")
WEB_SERVER_ACCOUNT = "www-data"


class IdentityProviderKind(StrEnum):
    SAMLP = "samlp"  # auth0 samlp
    WSFED = "wsfed"  # auth0 wsfed, SAML 1.1 tokens
    SIMPLESAMLPHP = "simplesamlphp"
    SIMPLESAMLPHP_WSFED = "simplesamlphp-wsfed"  # its adfs module


class RelyingPartyKind(StrEnum):
    PASSPORT_SAML = "passport-saml"
    PASSPORT_WSFED = "passport-wsfed"
    MELLON = "mellon"


@dataclass(frozen=True, slots=True)
class User:
    """Who signs on. SimpleSAMLphp asks for ``name`` and ``password`` on a page; the others ask nothing."""

    name: str = "alice@example.test"
    groups: tuple[str, ...] = ("staff", "vpn-users")
    password: str = "correct horse"

    @property
    def login_fields(self) -> dict[str, str]:
        return {"username": self.name, "password": self.password}


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Where a relying party will be. ``port`` is where it listens (plain HTTP on loopback)."""

    kind: RelyingPartyKind
    port: int
    public_base: str  # without a slash at the end

    @property
    def entity_id(self) -> str:
        return f"{self.public_base}{'/mellon' if self.kind is RelyingPartyKind.MELLON else ''}/metadata"

    @property
    def assertion_path(self) -> str:
        match self.kind:
            case RelyingPartyKind.PASSPORT_SAML:
                return "/saml/acs"
            case RelyingPartyKind.PASSPORT_WSFED:
                return "/wsfed/callback"
            case RelyingPartyKind.MELLON:
                return "/mellon/postResponse"

    @property
    def assertion_url(self) -> str:
        return self.public_base + self.assertion_path

    @property
    def login_url(self) -> str:
        return self.public_base + ("/secret/" if self.kind is RelyingPartyKind.MELLON else "/login")

    @property
    def upstream(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    kind: IdentityProviderKind
    entity_id: str
    base_url: str
    sso_url: str
    metadata: Path
    certificate: Path
    user: User

    def initiated_url(self, relying_party: RelyingParty) -> str:
        """Where a sign-on begins at the identity provider, without a request (auth0 samlp only)."""
        if self.kind is not IdentityProviderKind.SAMLP:
            raise ValueError(f"{self.kind} is not set up to begin sign-ons")
        return f"{self.sso_url}?audience={relying_party.entity_id}"


class Peers:
    """Starts peers and ends them. Logs of all are part of the message when one does not come up."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="federation-peers-"))
        self._directory.chmod(0o711)  # the web server's account walks through it
        self._processes: list[ChildProcess] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in reversed(self._processes):
            process.kill()
        if error is not None and not isinstance(error, ProcessFailedError):  # that one has the log in it
            error.add_note(self.logs())
        shutil.rmtree(self._directory)

    def logs(self) -> str:
        return "\n".join(process.log() for process in self._processes)

    def plan(self, kind: RelyingPartyKind, public_base: str | None = None) -> RelyingParty:
        port = free_port()
        return RelyingParty(kind, port, public_base or f"http://127.0.0.1:{port}")

    def start_identity_provider(
        self,
        kind: IdentityProviderKind,
        relying_parties: Sequence[RelyingParty],
        *,
        user: User | None = None,
        response_headers: Mapping[str, str] | None = None,
        sign_response: bool = False,
        credential: Credential | None = None,
    ) -> IdentityProvider:
        """Start one and fetch its metadata into a file. ``response_headers`` (auth0 ones only) are set
        on every page of it, such as a Content-Security-Policy."""
        user = user or User()
        port = free_port()
        base_url = f"http://127.0.0.1:{port}"
        directory = self._new_directory(kind)
        files = (credential or federation_credential(kind)).write(directory, "signing")
        endpoints = {rp.entity_id: rp.assertion_url for rp in relying_parties}
        if kind in (IdentityProviderKind.SAMLP, IdentityProviderKind.WSFED):
            entity_id, sso_path, metadata_path = f"urn:example:{kind}", "/sso", "/metadata"
            self._start_node(
                directory,
                {
                    "role": "saml-idp" if kind is IdentityProviderKind.SAMLP else "wsfed-sts",
                    "port": port,
                    "issuer": entity_id,
                    "certificate": str(files.certificate),
                    "private_key": str(files.private_key),
                    "user": {"id": user.name, "groups": user.groups},
                    "assertion_endpoints": endpoints,
                    "response_headers": dict(response_headers or {}),
                    "sign_response": sign_response,
                },
            )
        else:
            if response_headers:
                raise ValueError("SimpleSAMLphp sets its own response headers")
            if kind is IdentityProviderKind.SIMPLESAMLPHP_WSFED:
                entity_id, folder = f"urn:example:{kind}", "/module.php/adfs/idp"
                sso_path, metadata_path = f"{folder}/prp.php", f"{folder}/metadata.php"
            else:
                entity_id, folder = f"{base_url}/idp", "/saml2/idp"
                sso_path, metadata_path = f"{folder}/SSOService.php", f"{folder}/metadata.php"
            configuration = simplesamlphp_files(
                directory,
                base_url,
                entity_id,
                wsfed=kind is IdentityProviderKind.SIMPLESAMLPHP_WSFED,
                assertion_endpoints=endpoints,
                user_name=user.name,
                password=user.password,
                groups=user.groups,
                sign_response=sign_response,
            )
            self._start_simplesamlphp(directory, port, configuration)
        metadata = directory / "metadata.xml"
        status, content = http_get(port, metadata_path)
        if status != 200:
            raise ProcessFailedError(f"{kind}: metadata answered {status}\n{self.logs()}")
        metadata.write_bytes(content)
        return IdentityProvider(
            kind, entity_id, base_url, base_url + sso_path, metadata, files.certificate, user
        )

    def start_relying_party(self, relying_party: RelyingParty, idp: IdentityProvider) -> RelyingParty:
        directory = self._new_directory(relying_party.kind)
        match relying_party.kind:
            case RelyingPartyKind.MELLON:
                self._start_mellon(directory, relying_party, idp)
            case RelyingPartyKind.PASSPORT_SAML | RelyingPartyKind.PASSPORT_WSFED:
                saml = relying_party.kind is RelyingPartyKind.PASSPORT_SAML
                self._start_node(
                    directory,
                    {
                        "role": "saml-sp" if saml else "wsfed-rp",
                        "port": relying_party.port,
                        "entity_id": relying_party.entity_id,
                        "assertion_url": relying_party.assertion_url,
                        "idp": {
                            "sso_url": idp.sso_url,
                            "entity_id": idp.entity_id,
                            "certificate": str(idp.certificate),
                        },
                    },
                )
        return relying_party

    def _new_directory(self, name: str) -> Path:
        directory = self._directory / f"{len(self._processes)}-{name}"
        directory.mkdir()
        return directory

    def _run(self, process: ChildProcess, port: int) -> None:
        self._processes.append(process)
        process.wait_until_listening(port)

    def _start_node(self, directory: Path, settings: dict[str, Any]) -> None:
        file = directory / "peer.json"
        file.write_text(json.dumps(settings))
        command = ["node", "--no-deprecation", str(NODE_PEERS / "peer.js"), str(file)]
        self._run(ChildProcess(str(settings["role"]), command, directory), int(settings["port"]))

    def _start_simplesamlphp(self, directory: Path, port: int, files: Mapping[str, str]) -> None:
        _write_all(directory, files)
        for name in ("log", "tmp", "data"):
            (directory / name).mkdir()
        quiet = ["-d", "error_reporting=0", "-d", f"session.save_path={directory / 'tmp'}"]
        process = ChildProcess(
            "simplesamlphp",
            ["php", *quiet, "-S", f"127.0.0.1:{port}", "-t", str(SIMPLESAMLPHP)],
            directory,
            environment={"SIMPLESAMLPHP_CONFIG_DIR": str(directory / "config")},
        )
        self._run(process, port)

    def _start_mellon(self, directory: Path, relying_party: RelyingParty, idp: IdentityProvider) -> None:
        credential = federation_credential("mellon")
        credential.write(directory, "sp")
        shutil.copy(idp.metadata, directory / "idp-metadata.xml")
        _write_all(
            directory,
            mellon_files(
                directory,
                APACHE_MODULES,
                relying_party.port,
                relying_party.public_base,
                relying_party.entity_id,
                relying_party.assertion_url,
                credential.certificate,
            ),
        )
        _write_all(directory, {"www/index.html": "mellon", "www/secret/index.shtml": MELLON_PAGE})
        account = None
        if os.geteuid() == 0:  # httpd does not serve as root: all of it is the web server's from here on
            account = WEB_SERVER_ACCOUNT
            owner = pwd.getpwnam(account)
            for path in (directory, *directory.rglob("*")):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        command = [program("apache2") or "apache2", "-DFOREGROUND", "-f", str(directory / "httpd.conf")]
        logs = [directory / "error.log"]
        process = ChildProcess("mellon", command, directory, account=account, own_logs=logs)
        self._run(process, relying_party.port)


def missing_parts() -> list[str]:
    """What of the peers is not installed here; ``make test`` installs all of it."""
    missing = [name for name in ("node", "php", "apache2", "setpriv") if program(name) is None]
    files = {
        "npm packages of the federation peers": NODE_PEERS / "node_modules" / "samlp",
        "simplesamlphp": SIMPLESAMLPHP / "saml2" / "idp" / "SSOService.php",
        "libapache2-mod-auth-mellon": APACHE_MODULES / "mod_auth_mellon.so",
    }
    return missing + [name for name, path in files.items() if not path.exists()]


def _write_all(directory: Path, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
