"""Configuration files of the peers, each set up to do what the gateway does and no more.

None resumes TLS sessions where certificates are asked for (the gateway never does there), all log every
request, pass requests on over kept-alive connections, and set X-Forwarded-For, -Proto and -Host. The cipher
suite is pinned by the load generators, which offer no other.
"""

from pathlib import Path

from benchmarks.site import APP_HOST, CIPHER, GROUP, MTLS_DOMAIN, Site

_MANY = 100_000_000


def nginx_frame(name: str, http: str, directory: Path, workers: int) -> str:
    paths = "\n".join(
        f"{kind}_temp_path {directory}/{name}-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
    )
    return (
        f"daemon off; worker_processes {workers}; pid {directory}/{name}.pid;\n"
        f"error_log {directory}/{name}.log warn;\n"
        f"events {{ worker_connections 16384; }}\nhttp {{\n{paths}\n{http}\n}}\n"
    )


def nginx_front(site: Site, mtls_port: int, app_port: int, *, crl: bool, http2: bool) -> str:
    directory = site.directory
    tls = f"""
        ssl_certificate {directory}/server.pem;
        ssl_certificate_key {directory}/server.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_ecdh_curve {GROUP};
        ssl_conf_command Ciphersuites {CIPHER};
        ssl_session_tickets off;
        ssl_session_cache off;"""
    return f"""
    access_log {directory}/nginx-access.log;
    upstream app {{
        server 127.0.0.1:{site.upstream_port};
        keepalive 128;
        keepalive_requests {_MANY};
    }}
    server {{
        listen 127.0.0.1:{mtls_port} ssl backlog=4096 reuseport;
        server_name *.{MTLS_DOMAIN};{tls}
        ssl_client_certificate {directory}/corp-ca.pem;
        ssl_verify_client optional;
        ssl_verify_depth 3;
        {f"ssl_crl {directory}/all.crl;" if crl else ""}
        keepalive_timeout 0;
        location = /verified {{
            default_type text/plain;
            return 200 "$ssl_client_verify $ssl_client_s_dn\\n";
        }}
        location / {{ return 307 https://{APP_HOST}/saml/acs?dt_ticket=$ssl_client_fingerprint; }}
    }}
    server {{
        listen 127.0.0.1:{app_port} ssl{" http2" if http2 else ""} backlog=4096 reuseport;
        server_name {APP_HOST};{tls}
        keepalive_requests {_MANY};
        keepalive_timeout 1h;
        client_max_body_size 0;
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Forwarded-Host $http_host;
        }}
    }}"""


def nginx_sockets(site: Site, port: int) -> str:
    directory = site.directory
    return f"""
    access_log {directory}/nginx-access.log;
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096;
        server_name {APP_HOST};
        ssl_certificate {directory}/server.pem;
        ssl_certificate_key {directory}/server.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_ecdh_curve {GROUP};
        ssl_conf_command Ciphersuites {CIPHER};
        ssl_session_tickets off;
        ssl_session_cache off;
        ssl_client_certificate {directory}/corp-ca.pem;
        ssl_verify_client on;
        ssl_verify_depth 3;
        ssl_crl {directory}/all.crl;
        location = /admitted {{ return 204; }}
        location / {{
            proxy_pass http://127.0.0.1:{site.upstream_port};
            proxy_http_version 1.1;
            proxy_read_timeout 1h;
            proxy_set_header Connection upgrade;
            proxy_set_header Upgrade websocket;
        }}
    }}"""


def nginx_kilobyte(site: Site, body_bytes: int) -> str:
    return f"""
    access_log off;
    server {{
        listen 127.0.0.1:{site.upstream_port} backlog=4096;
        keepalive_requests {_MANY};
        client_max_body_size 2m;
        default_type text/plain;
        location / {{ return 200 "{"x" * body_bytes}"; }}
    }}"""


def haproxy(site: Site, mtls_port: int, app_port: int, *, crl: bool) -> str:
    directory = site.directory
    revocation = f"crl-file {directory}/all.crl" if crl else ""
    ticket = f"https://{APP_HOST}/saml/acs?dt_ticket=%[ssl_c_sha1,hex]"
    return f"""\
global
    log stdout format raw local0
    maxconn 4000
    nbthread 1
    tune.ssl.cachesize 0
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
    ssl-default-bind-curves {GROUP}
    ssl-default-bind-ciphersuites {CIPHER}
defaults
    mode http
    log global
    option httplog
    timeout connect 10s
    timeout client 1h
    timeout server 1m
frontend mtls
    bind 127.0.0.1:{mtls_port} backlog 4096 ssl crt {directory}/server-both.pem ca-file {directory}/corp-ca.pem verify optional {revocation}
    option http-buffer-request
    option httpclose
    http-request return status 200 content-type text/plain lf-string "%[ssl_c_verify] %[ssl_c_s_dn]" if {{ path /verified }}
    http-request redirect code 307 location {ticket}
frontend app
    bind 127.0.0.1:{app_port} backlog 4096 ssl crt {directory}/server-both.pem
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto https
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    default_backend app
backend app
    http-reuse always
    server app 127.0.0.1:{site.upstream_port}
"""  # noqa: E501 - HAProxy knows no way to continue a line


def caddy(site: Site, app_port: int) -> str:
    directory = site.directory
    return f"""\
{{
    admin off
    auto_https off
    servers {{
        protocols h1
    }}
    log {{
        level ERROR
    }}
}}
https://{APP_HOST}:{app_port} {{
    bind 127.0.0.1
    tls {directory}/server.pem {directory}/server.key {{
        curves {GROUP.lower()}
    }}
    log {{
        output file {directory}/caddy-access.log
        level INFO
    }}
    reverse_proxy 127.0.0.1:{site.upstream_port} {{
        header_up X-Forwarded-Host {{host}}
    }}
}}
"""
