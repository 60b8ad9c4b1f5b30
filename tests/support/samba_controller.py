"""The domain controller of `support.samba`, seen from inside: the first process of namespaces of its own.

    /usr/bin/python3 samba_controller.py DIRECTORY    with a JSON object on its standard input

Samba listens on the ports that it cannot but have (88, 389, …), of which nothing outside knows. Clients reach
them by sockets that were opened outside and are accepted from here. Commands come line by line as JSON
arrays, each is answered by one line of JSON; when no more can come, this process ends, and with it, being
the first of its process namespace, everything that it started.

Debian's own Python runs it, which alone has Samba's modules.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ldb
from samba import current_unix_time, dsdb, enable_net_export_keytab, param, unix2nttime
from samba.auth import system_session
from samba.dcerpc import drsblobs, lsa, security
from samba.ndr import ndr_pack
from samba.net import Net
from samba.provision import provision
from samba.samdb import SamDB

PORTS = (88, 389, 464, 636)
# What Samba's programs would use although its configuration names other places.
PRIVATE = ("/run/samba", "/var/lib/samba", "/var/cache/samba", "/var/log/samba")
START_SECONDS = 60.0
RUN_SECONDS = 30.0


class Controller:
    def __init__(self, directory: Path, domain: dict[str, Any]) -> None:
        self.directory = directory
        self.domain = domain
        self.realm: str = domain["realm"]
        self._samba: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """The domain with its accounts, before anything runs."""
        for name in ("private", "state/sysvol", "cache", "run", "bind-dns"):
            (self.directory / name).mkdir(parents=True)
        configuration = self.directory / "smb.conf"
        configuration.write_text(self._configuration())
        self.parameters = param.LoadParm()
        self.parameters.load(str(configuration))
        result = provision(
            logging.getLogger("provision"),
            system_session(),
            smbconf=str(configuration),
            lp=self.parameters,
            realm=self.realm,
            domain=self.domain["short_name"],
            hostname="dc",
            hostip="127.0.0.1",
            hostip6=None,
            adminpass=self.domain["administrator_password"],
            serverrole="active directory domain controller",
            dns_backend="NONE",
            skip_sysvolacl=True,
            dom_for_fun_level=dsdb.DS_DOMAIN_FUNCTION_2008_R2,
        )
        self.accounts: SamDB = result.samdb
        self._change(
            f"CN=DC,OU=Domain Controllers,{self.accounts.domain_dn()}",
            {"servicePrincipalName": [f"ldap/dc.{self.realm.lower()}", "ldap/127.0.0.1"]},
            ldb.FLAG_MOD_ADD,
        )
        for name, user in self.domain["users"].items():
            self.accounts.newuser(name, user["password"], mailaddress=user.get("mail"))
            if changes := user.get("attributes"):
                self.modify(name, changes)
                # Its keys are of the types that the account now has; and it is enabled again.
                self.accounts.setpassword(f"(sAMAccountName={name})", user["password"])
                self.modify(name, changes)
        for name, group in self.domain["groups"].items():
            self.accounts.newgroup(name, grouptype=group["type"])
        for name, group in self.domain["groups"].items():
            self.accounts.add_remove_group_members(name, group["members"])
        enable_net_export_keytab()
        for file, principals in self.domain["keytabs"].items():
            for principal in principals:
                Net(None, self.parameters).export_keytab(
                    keytab=str(self.directory / file), principal=principal
                )
            (self.directory / file).chmod(0o600)

    def start(self) -> None:
        with (self.directory / "samba.output").open("ab") as output:
            self._samba = subprocess.Popen(
                ["samba", "-F", "-M", "single", "--no-process-group", "-s", self.directory / "smb.conf"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    async def listening(self) -> None:
        async with asyncio.timeout(START_SECONDS):
            while not all(_listens(port) for port in PORTS):
                assert self._samba is not None
                if (status := self._samba.poll()) is not None:
                    raise RuntimeError(f"samba ended with {status}")
                await asyncio.sleep(0.02)

    def stop(self) -> None:
        assert self._samba is not None
        self._samba.kill()
        self._samba.wait()

    def pause(self, paused: bool) -> None:
        assert self._samba is not None
        self._samba.send_signal(signal.SIGSTOP if paused else signal.SIGCONT)

    def modify(self, name: str, changes: dict[str, Any]) -> None:
        """Replace attributes of the account with this sAMAccountName; an empty list removes one."""
        found = self.accounts.search(expression=f"(sAMAccountName={ldb.binary_encode(name)})", attrs=[])
        self._change(str(found[0].dn), changes, ldb.FLAG_MOD_REPLACE)

    def add_member(self, group: str, member: str) -> None:
        self.accounts.add_remove_group_members(group, [member])

    def delete(self, name: str) -> None:
        found = self.accounts.search(expression=f"(sAMAccountName={ldb.binary_encode(name)})", attrs=[])
        self.accounts.delete(found[0].dn)

    def domain_sid(self) -> str:
        return str(self.accounts.get_domain_sid())

    def trust(self, realm: str, short_name: str, sid: str, secret: str) -> None:
        """Trust another forest, and be trusted by it, as far as its tickets need that."""
        message = ldb.Message(
            ldb.Dn(self.accounts, f"CN={realm.lower()},CN=System,{self.accounts.domain_dn()}")
        )
        keys = ndr_pack(_trust_keys(secret))
        for attribute, value in {
            "objectClass": "trustedDomain",
            "trustPartner": realm.lower(),
            "flatName": short_name,
            "securityIdentifier": ndr_pack(security.dom_sid(sid)),
            "trustDirection": str(lsa.LSA_TRUST_DIRECTION_INBOUND | lsa.LSA_TRUST_DIRECTION_OUTBOUND),
            "trustType": str(lsa.LSA_TRUST_TYPE_UPLEVEL),
            "trustAttributes": str(lsa.LSA_TRUST_ATTRIBUTE_FOREST_TRANSITIVE),
            "trustAuthIncoming": keys,
            "trustAuthOutgoing": keys,
            "msDS-SupportedEncryptionTypes": "24",
        }.items():
            message[attribute] = ldb.MessageElement(value, ldb.FLAG_MOD_ADD, attribute)
        self.accounts.add(message, controls=["relax:0"])

    def run(self, command: list[str], said: str) -> str:
        """A program beside Samba: what it wrote. It has to succeed."""
        done = subprocess.run(
            command,
            input=said,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=RUN_SECONDS,
            check=False,
            env={**os.environ, "KRB5_CONFIG": str(self.directory / "inside.krb5.conf")},
        )
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stdout}")
        return done.stdout

    def _change(self, name: str, changes: dict[str, Any], how: int) -> None:
        message = ldb.Message(ldb.Dn(self.accounts, name))
        for attribute, values in changes.items():
            message[attribute] = ldb.MessageElement(values, how, attribute)
        self.accounts.modify(message)

    def _configuration(self) -> str:
        here = self.directory
        return f"""\
[global]
  netbios name = DC
  realm = {self.realm}
  workgroup = {self.domain["short_name"]}
  server role = active directory domain controller
  server services = rpc, ldap, cldap, kdc
  interfaces = 127.0.0.1/8
  bind interfaces only = yes
  private dir = {here}/private
  state directory = {here}/state
  cache directory = {here}/cache
  lock directory = {here}/run
  binddns dir = {here}/bind-dns
  pid directory = {here}/run
  ncalrpc dir = {here}/run/ncalrpc
  ntp signd socket directory = {here}/run/ntp
  winbindd socket directory = {here}/run/winbindd
  log file = {here}/samba.log
  log level = 1
  tls certfile = {here}/dc.pem
  tls keyfile = {here}/dc.key
  tls cafile = {here}/ca.pem
[sysvol]
  path = {here}/state/sysvol
[netlogon]
  path = {here}/state/sysvol
"""


def _trust_keys(secret: str) -> drsblobs.trustAuthInOutBlob:
    clear = drsblobs.AuthInfoClear()
    octets = list(secret.encode("utf-16-le"))
    clear.size, clear.password = len(octets), octets
    information = drsblobs.AuthenticationInformation()
    # For an hour the former ones would be used.
    information.LastUpdateTime = unix2nttime(current_unix_time() - 86_400)
    information.AuthType = lsa.TRUST_AUTH_TYPE_CLEAR
    information.AuthInfo = clear
    current = drsblobs.AuthenticationInformationArray()
    current.count, current.array = 1, [information]
    keys = drsblobs.trustAuthInOutBlob()
    keys.count, keys.current = 1, current
    return keys


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def _relay(port: int, outside: socket.socket) -> None:
    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while octets := await reader.read(65_536):
                writer.write(octets)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_samba, to_samba = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(pass_on(reader, to_samba), pass_on(from_samba, writer))

    await asyncio.start_server(accepted, sock=outside)


async def _serve(controller: Controller) -> None:
    for port, descriptor in controller.domain["sockets"].items():
        await _relay(int(port), socket.socket(fileno=descriptor))
    controller.start()
    await controller.listening()
    loop = asyncio.get_running_loop()

    commands: dict[str, Callable[..., Any]] = {
        "stop": controller.stop,
        "pause": controller.pause,
        "modify": controller.modify,
        "add_user": controller.accounts.newuser,
        "delete": controller.delete,
        "add_member": controller.add_member,
        "domain_sid": controller.domain_sid,
        "trust": controller.trust,
    }
    _answer("ready")
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        name, *arguments = json.loads(line)
        try:
            if name == "start":
                controller.start()
                await controller.listening()
                _answer(None)
            elif name == "run":
                _answer(await asyncio.to_thread(controller.run, *arguments))
            else:
                _answer(commands[name](*arguments))
        except Exception as problem:  # noqa: BLE001 - whoever asked is told, and its test fails
            _answer({"failed": f"{name}: {problem}"})


def _answer(said: Any) -> None:
    print(json.dumps(said), flush=True)


def main() -> None:
    directory = Path(sys.argv[1])
    domain = json.loads(sys.stdin.readline())
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for place in PRIVATE:
        if Path(place).is_dir():
            subprocess.run(["mount", "-t", "tmpfs", "private", place], check=True)
    hosts = directory / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n127.0.0.1 dc.{domain['realm'].lower()} dc\n")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    controller = Controller(directory, domain)
    # Samba's libraries write to the standard output, which is for answers.
    answers = os.dup(1)
    os.dup2(2, 1)
    controller.prepare()
    os.dup2(answers, 1)
    asyncio.run(_serve(controller))


if __name__ == "__main__":
    main()
