"""The gateway, its peer and the app behind both, with the same certificates, each one worker."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml
from support import messages
from support.gateway_process import gateway_process
from support.pki import Authority, Credential
from support.processes import ChildProcess, free_port, program

from benchmarks.accounting import pin, separate_cpus

APP_HOST: Final = "wiki.apps.example.test"
MTLS_DOMAIN: Final = "mtls.example.test"
USER: Final = "alice@example.test"
DEVICE: Final = "urn:uuid:7c5b1f04-2f5e-4d0c-9f7a-4a4f3b1f9d11"
UPSTREAM_BODY_BYTES: Final = 1_024
# What both sides negotiate. Left to themselves, two recent OpenSSLs would agree on a post-quantum group that
# the peer's older one does not know, and the comparison would be one of groups.
GROUP: Final = "X25519"
CIPHER: Final = "TLS_AES_256_GCM_SHA384"

_POLICY: Final = {
    "name": "Trusted Windows only",
    "default": "deny",
    "rules": [
        {"name": "Trusted Windows", "platforms": ["windows"], "device_trust": "trusted", "access": "allow"}
    ],
}


class Site:
    """Ports, keys and files, all below ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.https_port, self.metrics_port, self.upstream_port = free_port(), free_port(), free_port()
        self.nginx_mtls_port, self.nginx_app_port = free_port(), free_port()
        web = Authority.create_root("Web root")
        self.corp_root = Authority.create_root("Corp root")
        self.corp = self.corp_root.issue_intermediate("Corp devices")
        web.issue_server(["sso.example.test", "*.apps.example.test", f"*.{MTLS_DOMAIN}"]).write(
            directory, "server"
        )
        self.web_pem = web.pem.decode()
        self._device_key = self.corp.issue_client(DEVICE, USER).key
        (directory / "corp-ca.pem").write_bytes(self.corp.trust_pem)
        (directory / "corp-root.crl").write_bytes(self.corp_root.crl())
        (directory / "corp.crl").write_bytes(self.corp.crl())
        descriptor = messages.key_descriptor(messages.rsa_key())
        (directory / "idp-metadata.xml").write_text(messages.idp_entity(descriptor))
        (directory / "policy.yaml").write_text(yaml.safe_dump(_POLICY, sort_keys=False))

    def device(self) -> Credential:
        """A certificate of its own. All share one key, which nothing here looks at and which saves time."""
        return self.corp.issue_client(DEVICE, USER, key=self._device_key)

    @property
    def assertion_url(self) -> str:
        return f"https://{APP_HOST}:{self.https_port}/saml/acs"

    def message(self, number: int) -> bytes:
        """The posted form of a signed SAML Response, different for each number."""
        now = datetime.now(UTC)
        assertion_id = f"_assertion{number}"
        assertion = messages.Saml2Assertion(
            assertion_id=assertion_id,
            user=USER,
            recipient=self.assertion_url,
            in_response_to=None,
            now=now,
            not_before=timedelta(minutes=-1),
        )
        response = messages.Saml2Response(
            response_id=f"_response{number}", destination=self.assertion_url, in_response_to=None, now=now
        )
        signed = messages.sign(response.xml(assertion.xml()), "assertion", assertion_id=assertion_id)
        return messages.body_of(messages.saml_form(signed))

    def configuration(self) -> dict[str, Any]:
        """gateway.yaml as a value."""
        return {
            "org": {"name": "acme", "host": "sso.example.test", "mtls_domain": MTLS_DOMAIN},
            "listen": {
                "https": [f"127.0.0.1:{self.https_port}"],
                "metrics": f"127.0.0.1:{self.metrics_port}",
            },
            "tls": {"certificates": [{"certificate": "server.pem", "private_key": "server.key"}]},
            "device_trust": {
                "enabled": True,
                "authorities": [
                    {"name": "corp", "certificates": "corp-ca.pem", "crls": ["corp-root.crl", "corp.crl"]}
                ],
            },
            "identity_providers": [{"name": "idp", "protocol": "saml2", "metadata": "idp-metadata.xml"}],
            "apps": [
                {
                    "name": "wiki",
                    "host": APP_HOST,
                    "upstream": f"http://127.0.0.1:{self.upstream_port}",
                    "protocol": "saml2",
                    "identity_provider": "idp",
                    "entity_id": messages.AUDIENCE,
                    "assertion_endpoints": ["/saml/acs"],
                    "policy": "policy.yaml",
                }
            ],
        }

    def nginx_front(self) -> str:
        """The peer: mTLS on one port, the reverse proxy on another. Nothing resumes on the mTLS port, as on
        the gateway's mTLS hosts; both log every request, as the gateway does."""
        tls = f"""
            ssl_certificate {self.directory}/server.pem;
            ssl_certificate_key {self.directory}/server.key;
            ssl_protocols TLSv1.2 TLSv1.3;
            ssl_ecdh_curve {GROUP};
            ssl_conf_command Ciphersuites {CIPHER};
            ssl_session_tickets off;
            ssl_session_cache off;"""
        return f"""
        access_log {self.directory}/nginx-access.log;
        upstream app {{
            server 127.0.0.1:{self.upstream_port};
            keepalive 128;
            keepalive_requests 100000000;
        }}
        server {{
            listen 127.0.0.1:{self.nginx_mtls_port} ssl backlog=4096;
            server_name *.{MTLS_DOMAIN};{tls}
            ssl_client_certificate {self.directory}/corp-ca.pem;
            ssl_verify_client optional;
            ssl_verify_depth 3;
            keepalive_timeout 0;
            location = /verified {{
                default_type text/plain;
                return 200 "$ssl_client_verify $ssl_client_s_dn\\n";
            }}
            location / {{ return 307 https://{APP_HOST}/saml/acs?dt_ticket=$ssl_client_fingerprint; }}
        }}
        server {{
            listen 127.0.0.1:{self.nginx_app_port} ssl backlog=4096;
            server_name {APP_HOST};{tls}
            keepalive_requests 100000000;
            location / {{
                proxy_pass http://app;
                proxy_http_version 1.1;
                proxy_set_header Connection "";
                proxy_set_header Host $http_host;
                proxy_set_header X-Forwarded-For $remote_addr;
                proxy_set_header X-Forwarded-Proto https;
                proxy_set_header X-Forwarded-Host $http_host;
            }}
        }}"""

    def nginx_upstream(self) -> str:
        """The app behind both proxies: a kilobyte from memory."""
        return f"""
        access_log off;
        server {{
            listen 127.0.0.1:{self.upstream_port} backlog=4096;
            keepalive_requests 100000000;
            client_max_body_size 2m;
            default_type text/plain;
            location / {{ return 200 "{"x" * UPSTREAM_BODY_BYTES}"; }}
        }}"""


class Servers:
    """What runs during the workloads. The two servers under test share one CPU, and are never loaded at the
    same time; app and load generator have the others."""

    def __init__(self, site: Site, gateway: int, nginx: int) -> None:
        self.site = site
        self.gateway_process_id = gateway
        self.nginx_process_id = nginx


@contextmanager
def running_servers(directory: Path) -> Iterator[Servers]:
    """All servers, ready and pinned; stopped at the end."""
    site = Site(directory)
    under_test, others = separate_cpus()
    with (
        _nginx("nginx-app", site.nginx_upstream(), directory, site.upstream_port) as upstream,
        _nginx("nginx-peer", site.nginx_front(), directory, site.nginx_app_port) as nginx,
        gateway_process(site.configuration(), directory) as gateway,
    ):
        pin(upstream.process_id, others)
        pin(nginx.process_id, under_test)
        pin(gateway.process_id, under_test)
        yield Servers(site, gateway.process_id, nginx.process_id)


@contextmanager
def _nginx(name: str, http: str, directory: Path, port: int) -> Iterator[ChildProcess]:
    executable = program("nginx")
    if executable is None:
        raise SystemExit("nginx is not installed: apt-get install nginx-light")
    paths = "\n".join(
        f"{kind}_temp_path {directory}/{name}-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
    )
    configuration = directory / f"{name}.conf"
    configuration.write_text(
        f"daemon off; worker_processes 1; pid {directory}/{name}.pid;\n"
        f"error_log {directory}/{name}.log warn;\n"
        f"events {{ worker_connections 4096; }}\nhttp {{\n{paths}\n{http}\n}}\n"
    )
    process = ChildProcess(
        name,
        [executable, "-e", str(directory / f"{name}.log"), "-p", str(directory), "-c", str(configuration)],
        directory,
        own_logs=[directory / f"{name}.log"],
    )
    try:
        process.wait_until_listening(port)
        yield process
    finally:
        process.kill()
