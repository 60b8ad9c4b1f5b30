"""A real EST client (strongSwan's `pki`) gets the authorities, enrolls with a code, and renews over its
certificate. TLS is ended here as a worker of the gateway ends it, and what it verified goes on in the header.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from support.authority_site import AuthoritySite
from support.needed_parts import needs_program
from support.org_in_process import StandingClock, running_app
from support.own_authority import pem
from support.pki import Authority

from gateway.adapters.memory import SystemRandomness
from gateway.pki.certificate import parse_certificate
from gateway.server.org.est import EstRoutes
from gateway.server.org.store_threads import StoreThreads
from gateway.services.enrollment_codes import new_code

pytestmark = [pytest.mark.real, needs_program("pki")]
SECRET = b"m" * 32


class Site:
    def __init__(self, directory: Path, authority: AuthoritySite, url: str) -> None:
        self.directory = directory
        self.authority = authority
        self.url = url

    async def pki(self, *words: str) -> bytes:
        """Standard output. What the client complains of is shown where it fails."""
        process = await asyncio.create_subprocess_exec(
            "pki", *words, cwd=self.directory, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )  # fmt: skip
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out

    async def write(self, name: str, *words: str) -> None:
        (self.directory / name).write_bytes(await self.pki(*words))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    authority = AuthoritySite.create(tmp_path)
    web_root = Authority.create_root("Web root")
    files = web_root.issue_server(["127.0.0.1"]).write(tmp_path, "server")
    (tmp_path / "web-root.pem").write_bytes(web_root.pem)
    (tmp_path / "devices.pem").write_bytes(pem(authority.issuing()))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.private_key)
    context.load_verify_locations(tmp_path / "devices.pem")
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.verify_mode = ssl.CERT_OPTIONAL
    routes = EstRoutes(authority.keys, lambda: authority.rules, SECRET).routes
    clock = StandingClock(authority.now)
    async with running_app(routes, StoreThreads(authority.store), clock=clock) as org:
        runner = web.ServerRunner(web.Server(_worker(org)))
        await runner.setup()
        listening = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await listening.start()
        port = runner.addresses[0][1]
        yield Site(tmp_path, authority, f"https://127.0.0.1:{port}")
        await runner.cleanup()
    authority.store.close()


def _worker(org: aiohttp.ClientSession):
    async def handle(request: web.BaseRequest) -> web.Response:
        headers = {
            name: request.headers[name]
            for name in ("Authorization", "Content-Type")
            if name in request.headers
        }
        assert request.transport is not None
        shown = request.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        if shown is not None:
            headers["X-Device-Trust-Certificate"] = base64.b64encode(shown).decode()
        path = f"{request.path_qs}?force=true" if "reenroll" in request.path else request.path_qs
        async with org.request(request.method, path, headers=headers, data=await request.read()) as answer:
            kept = {
                name: value
                for name, value in answer.headers.items()
                if name in ("Content-Type", "Content-Transfer-Encoding", "WWW-Authenticate")
            }
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    return handle


async def test_a_real_client_enrolls_and_renews(site: Site) -> None:
    device, user = site.authority.device(), site.authority.user()
    code = new_code(SECRET, device.id, user.id, site.authority.now.replace(year=2099), SystemRandomness())
    await site.pki("--estca", "--url", site.url, "--cacert", "web-root.pem", "--caout", "ca", "--force")
    got = {
        parse_certificate(path.read_bytes()).sha256
        for path in site.directory.glob("ca*")
        if path.suffix != ".pem"
    }
    assert got == {
        parse_certificate(record.certificate_der).sha256 for record in site.authority.authorities()
    }

    await site.write("first.key", "--gen", "--type", "ecdsa", "--size", "256", "--outform", "pem")
    await site.write("first.csr", "--req", "--in", "first.key", "--type", "ecdsa", "--dn", "CN=nobody")
    authorities = [word for path in site.directory.glob("ca*") for word in ("--cacert", path.name)]
    await site.write(
        "first.der", "--est", "--url", site.url, "--in", "first.csr", "--cacert", "web-root.pem",
        *authorities, "--userpass", f"x:{code}",
    )  # fmt: skip
    first = x509.load_der_x509_certificate((site.directory / "first.der").read_bytes())
    names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [device.certificate_name]

    await site.write("second.key", "--gen", "--type", "ecdsa", "--size", "256", "--outform", "pem")
    await site.write("second.csr", "--req", "--in", "second.key", "--type", "ecdsa", "--dn", "CN=nobody")
    await site.write(
        "second.der", "--est", "--url", site.url, "--in", "second.csr", "--cacert", "web-root.pem",
        *authorities, "--cert", "first.der", "--key", "first.key",
    )  # fmt: skip
    second = x509.load_der_x509_certificate((site.directory / "second.der").read_bytes())
    with site.authority.store.read() as view:
        [old] = view.certificates.by_serial_number(first.serial_number)
        [new] = view.certificates.by_serial_number(second.serial_number)
    assert new.replaces == old.thumbprint
    assert (new.device_id, new.user_id) == (device.id, user.id)
