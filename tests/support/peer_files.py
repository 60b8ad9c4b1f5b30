"""Configuration files of the peers that are no libraries: SimpleSAMLphp and Apache mod_auth_mellon."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

EMAIL_FORMAT = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"

PhpValue: TypeAlias = "str | bool | int | Sequence[PhpValue] | Mapping[str, PhpValue] | None"


def php(value: PhpValue) -> str:
    """A PHP literal."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        case Mapping():
            return "[" + ", ".join(f"{php(key)} => {php(item)}" for key, item in value.items()) + "]"
        case _:
            return "[" + ", ".join(php(item) for item in value) + "]"


def _php_file(variable: str, entries: Mapping[str, PhpValue]) -> str:
    return "<?php\n" + "".join(f"${variable}[{php(key)}] = {php(item)};\n" for key, item in entries.items())


def simplesamlphp_files(
    directory: Path,
    base_url: str,
    entity_id: str,
    *,
    wsfed: bool,
    assertion_endpoints: Mapping[str, str],
    user_name: str,
    password: str,
    groups: Sequence[str],
    sign_response: bool,
) -> dict[str, str]:
    """``config/`` and ``metadata/`` of SimpleSAMLphp 1.19 as an identity provider, by SAML 2.0 or by its
    ``adfs`` module. It signs with ``signing.key`` in ``directory``."""
    hosted: dict[str, PhpValue] = {
        "host": "__DEFAULT__",
        "privatekey": "signing.key",
        "certificate": "signing.pem",
        "auth": "people",
        "signature.algorithm": RSA_SHA256,
    }
    if not wsfed:
        hosted |= {
            "saml20.sign.assertion": True,
            "saml20.sign.response": sign_response,
            "NameIDFormat": EMAIL_FORMAT,
            "authproc": [{"class": "saml:AttributeNameID", "attribute": "mail", "Format": EMAIL_FORMAT}],
        }
    remote: dict[str, PhpValue] = {}
    for relying_party, endpoint in assertion_endpoints.items():
        remote[relying_party] = (
            {"prp": endpoint, "simplesaml.nameidattribute": "mail", "simplesaml.attributes": True}
            if wsfed
            else {"AssertionConsumerService": endpoint, "NameIDFormat": EMAIL_FORMAT}
        )
    cookie = f"ssp{urlsplit(base_url).port}"
    config: dict[str, PhpValue] = {
        "baseurlpath": f"{base_url}/",
        "certdir": f"{directory}/",
        "loggingdir": f"{directory}/log/",
        "datadir": f"{directory}/data/",
        "tempdir": f"{directory}/tmp",
        "metadatadir": f"{directory}/metadata/",
        "attributenamemapdir": "/etc/simplesamlphp/attributemap/",
        "technicalcontact_name": "Tests",
        "technicalcontact_email": "na@example.org",
        "secretsalt": "only-for-one-test-run",
        "auth.adminpassword": "only-for-one-test-run",
        "timezone": "UTC",
        "trusted.url.domains": None,
        "showerrors": True,
        "errorreporting": False,
        "debug": {"saml": False, "backtraces": True, "validatexml": False},
        "logging.level": 6,
        "logging.handler": "errorlog",
        "statistics.out": [],
        "enable.saml20-idp": not wsfed,
        "enable.adfs-idp": wsfed,
        "module.enable": {"core": True, "saml": True, "exampleauth": True, "adfs": wsfed},
        "session.cookie.name": cookie,
        "session.cookie.path": "/",
        "session.cookie.domain": None,
        "session.cookie.secure": False,
        "session.cookie.samesite": None,
        "session.phpsession.cookiename": f"{cookie}-php",
        "session.phpsession.savepath": f"{directory}/tmp",
        "session.phpsession.httponly": True,
        "session.authtoken.cookiename": f"{cookie}-auth",
        "session.duration": 3600,
        "session.state.timeout": 3600,
        "language.available": ["en"],
        "language.default": "en",
        "language.cookie.secure": False,
        "store.type": "phpsession",
        "authproc.idp": [],
        "authproc.sp": [],
        "metadata.sources": [{"type": "flatfile"}],
        "proxy": None,
        "production": True,
    }
    claims: dict[str, PhpValue] = {
        "mail": [user_name],
        "groups": list(groups),
        "http://schemas.xmlsoap.org/claims/Group": list(groups),
    }
    # A PHP array mixes positions and names: the first element is the module, the others are people.
    people = f"['exampleauth:UserPass', {php(f'{user_name}:{password}')} => {php(claims)}]"
    family = "adfs" if wsfed else "saml20"
    return {
        "config/config.php": f"<?php\n$config = {php(config)};\n",
        "config/authsources.php": f"<?php\n$config = ['people' => {people}];\n",
        f"metadata/{family}-idp-hosted.php": _php_file("metadata", {entity_id: hosted}),
        f"metadata/{family}-sp-remote.php": _php_file("metadata", remote),
    }


# Server-side includes write the answer, so that the page shows what the module put into the environment.
MELLON_PAGE = (
    '{"login": "ok", "user": "<!--#echo var="REMOTE_USER" -->", '
    '"idp": "<!--#echo var="MELLON_IDP" -->", '
    '"headers": {"x-device-trust": "<!--#echo var="HTTP_X_DEVICE_TRUST" -->"}}'
)


def mellon_files(
    directory: Path,
    modules: Path,
    port: int,
    public_base: str,
    entity_id: str,
    assertion_url: str,
    certificate: x509.Certificate,
) -> dict[str, str]:
    """``httpd.conf`` and ``sp-metadata.xml`` of an Apache that protects ``/secret`` with mod_auth_mellon.

    It listens on loopback without TLS and takes ``public_base`` for its own address in all that it writes.
    """
    secure = public_base.startswith("https:")
    names = "mpm_prefork authn_core authz_core authz_user dir env include filter mime auth_mellon"
    loaded = "\n".join(f"LoadModule {name}_module {modules}/mod_{name}.so" for name in names.split())
    cookie_lines = (
        "MellonSecureCookie On\n  MellonCookieSameSite None" if secure else "MellonSecureCookie Off"
    )
    httpd = f"""\
ServerRoot {directory}
PidFile {directory}/httpd.pid
Listen 127.0.0.1:{port}
ServerName {public_base}
UseCanonicalName On
{loaded}
StartServers 1
MinSpareServers 1
MaxRequestWorkers 4
ErrorLog {directory}/error.log
LogLevel warn auth_mellon:info
DocumentRoot {directory}/www
DirectoryIndex index.shtml index.html
TypesConfig /etc/mime.types
AddType text/html .shtml
AddOutputFilter INCLUDES .shtml
MellonLockFile {directory}/mellon.lock
MellonCacheSize 100
<Directory {directory}/www>
  Options +Includes
  Require all granted
</Directory>
<Location />
  MellonEndpointPath /mellon
  MellonSPPrivateKeyFile {directory}/sp.key
  MellonSPCertFile {directory}/sp.pem
  MellonSPMetadataFile {directory}/sp-metadata.xml
  MellonIdPMetadataFile {directory}/idp-metadata.xml
  MellonVariable test{port}
  MellonSignatureMethod rsa-sha256
  MellonSubjectConfirmationDataAddressCheck Off
  MellonUser NAME_ID
  {cookie_lines}
</Location>
<Location /secret>
  AuthType Mellon
  MellonEnable auth
  Require valid-user
</Location>
"""
    encoded = b64encode(certificate.public_bytes(Encoding.DER)).decode()
    metadata = f"""\
<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{entity_id}">
  <SPSSODescriptor AuthnRequestsSigned="true" WantAssertionsSigned="true"
      protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <KeyDescriptor use="signing">
      <KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#">
        <X509Data><X509Certificate>{encoded}</X509Certificate></X509Data>
      </KeyInfo>
    </KeyDescriptor>
    <AssertionConsumerService index="0" isDefault="true"
        Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="{assertion_url}"/>
  </SPSSODescriptor>
</EntityDescriptor>
"""
    return {"httpd.conf": httpd, "sp-metadata.xml": metadata}
