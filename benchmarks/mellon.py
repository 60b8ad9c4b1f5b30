"""The peer of whole sign-ons: Apache. Its mod_ssl asks for the device certificate, its mod_auth_mellon is the
service provider, and signed-on requests go on to the same app."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from support.peer_files import mellon_files
from support.peers import APACHE_MODULES, WEB_SERVER_ACCOUNT
from support.pki import Credential, federation_credential
from support.processes import ChildProcess, free_port

from benchmarks.accounting import pin, separate_cpus
from benchmarks.servers import Server, needed
from benchmarks.site import APP_HOST, CIPHER, GROUP, Site

ASSERTION_PATH: Final = "/mellon/postResponse"
PAGE: Final = "/secret/"
_MODULES: Final = (
    "mpm_event authn_core authz_core authz_user env headers proxy proxy_http ssl socache_shmcb auth_mellon"
)


def entity_id(server: Server) -> str:
    return f"https://{APP_HOST}:{server.app_port}/mellon/metadata"


def assertion_url(server: Server) -> str:
    return f"https://{APP_HOST}:{server.app_port}{ASSERTION_PATH}"


@contextmanager
def apache_mellon(site: Site) -> Iterator[Server]:
    """One Apache, started as its package does (as root it serves as the web server's account)."""
    port = free_port()
    server = Server("Apache", 0, port, port)
    directory = site.directory / "apache"
    directory.mkdir(exist_ok=True)
    credential = federation_credential("mellon")
    credential.write(directory, "sp")
    (directory / "sp-metadata.xml").write_text(_metadata(directory, server, credential))
    (directory / "httpd.conf").write_text(_configuration(site, directory, port))
    if os.geteuid() == 0:  # its children read keys and metadata as this account
        site.directory.chmod(0o711)
        for path in directory.iterdir():
            shutil.chown(path, WEB_SERVER_ACCOUNT)
    command = [needed("apache2"), "-DFOREGROUND", "-f", str(directory / "httpd.conf")]
    process = ChildProcess("apache", command, site.directory, own_logs=[directory / "error.log"])
    try:
        process.wait_until_listening(port)
        pin(process.process_id, separate_cpus()[0])
        yield Server(server.name, process.process_id, port, port)
    finally:
        process.kill()


def _metadata(directory: Path, server: Server, credential: Credential) -> str:
    files = mellon_files(
        directory,
        APACHE_MODULES,
        server.app_port,
        f"https://{APP_HOST}:{server.app_port}",
        entity_id(server),
        assertion_url(server),
        credential.certificate,
    )
    return files["sp-metadata.xml"]


def _configuration(site: Site, directory: Path, port: int) -> str:
    loaded = "\n".join(
        f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in _MODULES.split()
    )
    account = f"User {WEB_SERVER_ACCOUNT}\nGroup {WEB_SERVER_ACCOUNT}" if os.geteuid() == 0 else ""
    return f"""\
ServerRoot {directory}
PidFile {directory}/httpd.pid
Listen 127.0.0.1:{port}
ServerName https://{APP_HOST}:{port}
UseCanonicalName On
{loaded}
{account}
StartServers 1
ServerLimit 1
ThreadsPerChild 16
MaxRequestWorkers 16
MinSpareThreads 1
MaxSpareThreads 16
KeepAlive On
KeepAliveTimeout 30
MaxKeepAliveRequests 0
ErrorLog {directory}/error.log
LogLevel warn
LogFormat "%h %t \\"%r\\" %>s %b" common
CustomLog {directory}/access.log common
DocumentRoot {directory}
MellonLockFile {directory}/mellon.lock
MellonCacheSize 4000
SSLEngine on
SSLCertificateFile {site.directory}/server.pem
SSLCertificateKeyFile {site.directory}/server.key
SSLProtocol -all +TLSv1.2 +TLSv1.3
SSLCipherSuite TLSv1.3 {CIPHER}
SSLOpenSSLConfCmd Curves {GROUP}
SSLSessionTickets off
SSLSessionCache none
SSLVerifyClient require
SSLVerifyDepth 3
SSLCACertificateFile {site.directory}/corp-ca.pem
SSLCARevocationFile {site.directory}/all.crl
SSLCARevocationCheck chain
<Location />
  MellonEndpointPath /mellon
  MellonSPPrivateKeyFile {directory}/sp.key
  MellonSPCertFile {directory}/sp.pem
  MellonSPMetadataFile {directory}/sp-metadata.xml
  MellonIdPMetadataFile {site.metadata}
  MellonSignatureMethod rsa-sha256
  MellonSubjectConfirmationDataAddressCheck Off
  MellonUser NAME_ID
  MellonSecureCookie On
  MellonCookieSameSite None
  MellonDefaultLoginPath {PAGE}
</Location>
<Location /secret>
  AuthType Mellon
  MellonEnable auth
  Require valid-user
  RequestHeader set X-Forwarded-Proto https
  ProxyPass http://127.0.0.1:{site.upstream_port}/
</Location>
"""
