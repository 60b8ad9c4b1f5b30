"""The settings of agent.conf and of the command line, as tables."""

import pytest

from gateway.agent.platform import Setting
from gateway.agent.settings import KeyStorage, Settings, SettingsRefused, merged, settings_of

CONF = "/etc/devicetrust/agent.conf"
URL = "https://sso.example.com"


def stored(*lines: str) -> tuple[Setting, ...]:
    return tuple(
        Setting(name, value, f"{CONF}:{number}")
        for number, (name, _, value) in enumerate((line.partition("=") for line in lines), 1)
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([f"OrgUrl={URL}"], Settings(URL)),
        ([f"OrgUrl={URL}/"], Settings(URL)),
        (["orgurl=https://SSO.example.com:8443"], Settings("https://sso.example.com:8443")),
        (["OrgUrl=https://[2001:db8::1]:8443"], Settings("https://[2001:db8::1]:8443")),
        ([f"OrgUrl={URL}", "HttpProxy=proxy:3128"], Settings(URL, http_proxy="proxy:3128")),
        (
            [f"OrgUrl={URL}", "HttpProxy=http://me:pw@proxy:3128"],
            Settings(URL, http_proxy="http://me:pw@proxy:3128"),
        ),
        (
            [f"OrgUrl={URL}", "HttpProxyPacLocation=http://wpad/wpad.dat"],
            Settings(URL, http_proxy_pac_location="http://wpad/wpad.dat"),
        ),
        (
            [f"OrgUrl={URL}", "skipbrowserstores=on"],
            Settings(URL, skip_browser_stores=True),
        ),
        (
            [f"OrgUrl={URL}", "HttpProxyPacLocation=file:///etc/proxy.pac", "SkipBrowserSetup=TRUE"],
            Settings(URL, http_proxy_pac_location="file:///etc/proxy.pac", skip_browser_setup=True),
        ),
        ([f"OrgUrl={URL}", "DeviceSocket=127.0.0.1:4711"], Settings(URL, device_socket="127.0.0.1:4711")),
        ([f"OrgUrl={URL}", "KeyStorage=tpm"], Settings(URL, key_storage=KeyStorage.TPM)),
        (
            [f"OrgUrl={URL}", "KeyStorage=pkcs11", "Pkcs11Module=/usr/lib/libtpm2_pkcs11.so.1"],
            Settings(URL, key_storage=KeyStorage.PKCS11, pkcs11_module="/usr/lib/libtpm2_pkcs11.so.1"),
        ),
        ([f"OrgUrl={URL}", r"CaFile=C:\ca.pem"], Settings(URL, ca_file=r"C:\ca.pem")),
    ],
)
def test_settings_that_are_taken(lines: list[str], expected: Settings) -> None:
    assert settings_of(stored(*lines)) == expected


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "settings: OrgUrl is missing"),
        (["SkipBrowserSetup=true"], f"{CONF}: OrgUrl is missing"),
        ([f"OrgUrl={URL}", "OrgURLs=x"], f"{CONF}:2: 'OrgURLs' is no setting; OrgUrl is meant?"),
        ([f"OrgUrl={URL}", "Colour=blue"], f"{CONF}:2: 'Colour' is no setting; there are OrgUrl"),
        ([f"OrgUrl={URL}", "ORGURL=https://x"], f"{CONF}:2: OrgUrl stands there twice (also {CONF}:1)"),
        (["OrgUrl=http://sso.example.com"], f"{CONF}:1: OrgUrl: has to begin with https://"),
        (["OrgUrl=https://sso.example.com/app"], f"{CONF}:1: OrgUrl: is a scheme and a host"),
        (["OrgUrl=https://a:b@sso.example.com"], f"{CONF}:1: OrgUrl: must not hold a name or a password"),
        (["OrgUrl=https://"], f"{CONF}:1: OrgUrl: names no host"),
        (["OrgUrl=https://sso.example.com:99999"], f"{CONF}:1: OrgUrl: is no address"),
        (["OrgUrl="], f"{CONF}:1: OrgUrl: is empty"),
        (["OrgUrl=https://" + "x" * 3000], f"{CONF}:1: OrgUrl: longer than 2048 characters"),
        (
            [f"OrgUrl={URL}", "HttpProxy=ftp://x"],
            f"{CONF}:2: HttpProxy: the proxy 'ftp://x' is reached by ftp",
        ),
        ([f"OrgUrl={URL}", "HttpProxyPacLocation=ftp://x"], f"{CONF}:2: HttpProxyPacLocation: has to begin"),
        ([f"OrgUrl={URL}", "SkipBrowserSetup=maybe"], f"{CONF}:2: SkipBrowserSetup: has to be true or false"),
        ([f"OrgUrl={URL}", "KeyStorage=usb"], f"{CONF}:2: KeyStorage: has to be one of file, tpm, pkcs11"),
        ([f"OrgUrl={URL}", "KeyStorage=pkcs11"], f"{CONF}:2: KeyStorage=pkcs11 needs Pkcs11Module"),
        ([f"OrgUrl={URL}", "DeviceSocket=10.0.0.1:4711"], f"{CONF}:2: DeviceSocket: has to be an absolute"),
        ([f"OrgUrl={URL}", "DeviceSocket=127.0.0.1:0"], f"{CONF}:2: DeviceSocket: has to be an absolute"),
        ([f"OrgUrl={URL}", "CaFile=ca.pem"], f"{CONF}:2: CaFile: has to be an absolute path"),
        ([f"OrgUrl={URL}"] * 65, f"{CONF}:65: more than 64 settings"),
    ],
)
def test_settings_that_are_refused_by_place_and_name(lines: list[str], said: str) -> None:
    with pytest.raises(SettingsRefused) as refused:
        settings_of(stored(*lines))
    assert str(refused.value).startswith(said)


def test_what_install_is_given_comes_in_the_place_of_what_was_stored() -> None:
    before = stored(f"OrgUrl={URL}", "skipbrowsersetup=true", "HttpProxy=a:1")
    after = merged(before, {"orgurl": "https://new.example.com", "HttpProxy": ""}, "install")
    assert after == {"SkipBrowserSetup": "true", "OrgUrl": "https://new.example.com"}
    with pytest.raises(SettingsRefused, match="install: 'Url' is no setting"):
        merged(before, {"Url": "x"}, "install")
