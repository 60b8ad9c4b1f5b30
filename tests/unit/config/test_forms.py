"""The small languages of gateway.yaml, as tables of what they mean and what they refuse."""

from datetime import timedelta
from ipaddress import ip_network

import pytest

from gateway.config import forms
from gateway.model.settings import Address, Upstream


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("6h", timedelta(hours=6)),
        ("30d", timedelta(days=30)),
    ],
)
def test_durations_have_one_number_and_one_unit(text: str, duration: timedelta) -> None:
    assert forms.read_duration(text) == duration
    assert forms.duration_text(duration) == text


@pytest.mark.parametrize(
    "text", ["", "30", "s", "1.5h", "-5m", "5 m", "5m\n", "1w", "1h30m", "५m", "9" * 20 + "s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        forms.read_duration(text)


@pytest.mark.parametrize(
    ("duration", "text"), [(timedelta(seconds=90), "90s"), (timedelta(hours=24), "1d"), (timedelta(0), "0s")]
)
def test_durations_are_written_in_the_largest_whole_unit(duration: timedelta, text: str) -> None:
    assert forms.duration_text(duration) == text


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8443", Address("127.0.0.1", 8443)),
        ("0.0.0.0:443", Address("0.0.0.0", 443)),
        ("[::1]:8443", Address("::1", 8443)),
        ("[2001:DB8::0001]:1", Address("2001:db8::1", 1)),
    ],
)
def test_listen_addresses_are_read_in_their_shortest_form(text: str, address: Address) -> None:
    assert forms.read_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "8443",
        ":8443",
        "localhost:8443",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:+80",
        "127.0.0.1:٨٠",
        "127.0.0.1:80\n",
        "[127.0.0.1]:80",
        "::1:8443",
        "[::1]",
        "010.0.0.1:80",
    ],
)
def test_what_is_no_listen_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be an IP address and a port|must have a port"):
        forms.read_address(text)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("wiki.apps.example.test", "wiki.apps.example.test"),
        ("WIKI.Example.TEST", "wiki.example.test"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("localhost", "localhost"),
        ("4chan.example", "4chan.example"),
    ],
)
def test_host_names_are_lower_cased(text: str, host: str) -> None:
    assert forms.read_host_name(text) == host


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("bücher.example", "must be written in ASCII: give the xn-- form"),
        ("wiki.example\u212a", "must be written in ASCII"),
        ("https://wiki.example", "without scheme, port or path"),
        ("wiki.example:443", "without scheme, port or path"),
        ("wiki.example/path", "without scheme, port or path"),
        ("wiki.example.", "without the dot at its end"),
        ("", "must be a host name of letters"),
        ("*.example.test", "no wildcard"),
        ("-wiki.example", "must be a host name of letters"),
        ("wiki-.example", "must be a host name of letters"),
        ("wiki..example", "must be a host name of letters"),
        ("wi_ki.example", "must be a host name of letters"),
        ("wiki.example\n", "must be a host name of letters"),
        ("a" * 64 + ".example", "must be a host name of letters"),
        ("a." * 127, "without the dot at its end"),
        ("a." * 127 + "a", "must not be longer than 253"),
        ("127.0.0.1", "not an IP address"),
        ("wiki.1", "not an IP address"),
        ("0x7f000001", "not an IP address"),
        ("a.0X", "not an IP address"),
        ("[::1]", "without scheme, port or path"),
    ],
)
def test_what_is_no_host_name_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        forms.read_host_name(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("mtls", "at least two labels"), ("a." * 95 + "test", "must not be longer than 189")],
    ids=["one label", "no room for the random label"],
)
def test_the_mtls_domain_leaves_room_for_a_random_label(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        forms.read_mtls_domain(text)


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        ("http://127.0.0.1:9000", Upstream("http", "127.0.0.1", 9000)),
        ("http://wiki_backend/", Upstream("http", "wiki_backend", 80)),
        ("https://wiki.internal", Upstream("https", "wiki.internal", 443)),
        ("HTTPS://Wiki.Internal:8443", Upstream("https", "wiki.internal", 8443)),
        ("http://[::1]:9000", Upstream("http", "::1", 9000)),
        ("unix:/run/wiki.sock", Upstream("unix", path="/run/wiki.sock")),
    ],
)
def test_upstreams_are_a_web_server_or_a_socket(text: str, upstream: Upstream) -> None:
    assert forms.read_upstream(text) == upstream


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:9000",
        "ftp://host",
        "http://",
        "http://:80",
        "http://host/app",
        "http://host?x",
        "http://host?",
        "http://host#",
        "http://user@host",
        "http://user:secret@host",
        "http://host:0",
        "http://host:",
        "http://host:99999",
        "http://host:80 ",
        "http://ho st",
        "http://host\\evil",
        "http://ho\tst",
        "http://höst",
        "http://[::1",
        "http://[zz]:80",
        "http://-host",
        "http://a%2fb",
        "unix:run/wiki.sock",
        "unix:/",
        "unix:/run/\0",
    ],
)
def test_what_is_no_upstream_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must|is not a URL"):
        forms.read_upstream(text)


@pytest.mark.parametrize("text", ["https://help.example.test/device-trust?a=b", "http://help.example.test"])
def test_a_web_address_stays_as_it_is(text: str) -> None:
    assert forms.read_web_address(text) == text


@pytest.mark.parametrize(
    "text", ["javascript:alert(1)", "//help.example.test", "help.example.test", "https:help", "https://a\\@b"]
)
def test_a_link_that_is_no_absolute_web_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be an absolute URL"):
        forms.read_web_address(text)


@pytest.mark.parametrize("text", ["/saml/acs", "/", "/saml/acs/", "/a-b_c~d.e/f:g@h", "/.well-known/x"])
def test_assertion_endpoints_are_paths_in_one_spelling(text: str) -> None:
    assert forms.read_assertion_endpoint(text) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("saml/acs", "must be an absolute path"),
        ("https://wiki/saml/acs", "must be an absolute path"),
        ("", "must be an absolute path"),
        ("//saml/acs", "must be normalised"),
        ("/saml//acs", "must be normalised"),
        ("/saml/./acs", "must be normalised"),
        ("/saml/../acs", "must be normalised"),
        ("/saml/..", "must be normalised"),
        ("/saml/%61cs", "without percent-encoding"),
        ("/saml\\acs", "without percent-encoding"),
        ("/saml/acs;v=1", "semicolons"),
        ("/saml/a cs", "spaces"),
        ("/saml/ács", "without percent-encoding"),
        ("/saml/acs\n", "without percent-encoding"),
        ("/saml/acs?x=1", "without query"),
        ("/saml/acs#x", "without query"),
        ("/.devicetrust/acs", "must not be under /.devicetrust/"),
        ("/.DeviceTrust", "must not be under /.devicetrust/"),
        ("/" + "a" * 1024, "must not be longer than 1024"),
    ],
)
def test_an_endpoint_that_has_other_spellings_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        forms.read_assertion_endpoint(text)


def test_networks_are_read_and_a_host_inside_of_one_is_corrected() -> None:
    assert forms.read_network("10.0.0.0/8") == ip_network("10.0.0.0/8")
    assert forms.read_network("2001:db8::1") == ip_network("2001:db8::1/128")
    with pytest.raises(ValueError, match=r"names a host inside the network; write 10\.0\.0\.0/8"):
        forms.read_network("10.1.2.3/8")
    with pytest.raises(ValueError, match="must be a network"):
        forms.read_network("office")


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0"])
def test_the_whole_internet_is_no_trusted_proxy(text: str) -> None:
    with pytest.raises(ValueError, match="would let every client choose its own address"):
        forms.read_trusted_proxy(text)


@pytest.mark.parametrize("text", ["certs/corp.crl", "/srv/corp.crl", "http://pki.example.test/corp.crl"])
def test_a_crl_is_a_file_or_a_url(text: str) -> None:
    assert forms.read_crl_location(text) == text


@pytest.mark.parametrize(
    "text", ["", "ldap://dc.example.test/CN=corp", "file:///srv/corp.crl", "http://user@pki.example.test/x"]
)
def test_a_crl_that_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        forms.read_crl_location(text)


@pytest.mark.parametrize(
    "text",
    [
        "none",
        "sqlite:///var/devicetrust.db",
        "sqlite:////srv/devicetrust.db",
        "postgresql://gateway@db.example.test/trust",
        "postgresql://gateway:secret@one.example.test:5432,two.example.test/trust?sslmode=verify-full",
        "postgresql:///trust?host=/run/postgresql",
    ],
)
def test_a_store_is_sqlite_or_postgresql_or_none(text: str) -> None:
    assert forms.read_store(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sqlite:",
        "sqlite://host/db",
        "postgresql://",
        "postgresql:///db",
        "postgresql://h/",
        "mysql://h/db",
        "sqlite:///path?mode=ro",
        "sqlite:///path#fragment",
        "sqlite:///pa\nth",
        "postgresql://[h/db",
        "postgresql://user:secret@/db",
        "None",
    ],
)
def test_any_other_store_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be none, sqlite") as refused:
        forms.read_store(text)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "-a", "a b", "a/b", "ä", "a" * 65, "a\n"])
def test_a_name_that_logs_and_metrics_could_not_carry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be 1 to 64"):
        forms.read_name(text)
