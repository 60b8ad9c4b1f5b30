"""User-Agents as clients send them, and the client and platform that each of them claims."""

import pytest

from gateway.model.decision import Client, Platform
from gateway.policy.user_agent import (
    CACHED_USER_AGENTS,
    MAX_USER_AGENT_CHARACTERS,
    UNKNOWN,
    classify,
    preload,
)

WEB, MODERN, LEGACY = Client
IOS, ANDROID, OTHER_MOBILE, WINDOWS, MACOS, LINUX, OTHER_DESKTOP = Platform
WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
BLINK = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0"
IE7 = "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Win64; x64; Trident/7.0; .NET4.0C; .NET4.0E"


@pytest.mark.parametrize(
    ("user_agent", "client", "platform"),
    [
        # Browsers on what can show a certificate
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Safari/537.36", WEB, WINDOWS),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Safari/537.36 Edg/126.0.0.0", WEB, WINDOWS),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0", WEB, WINDOWS),
        ("Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; Touch; rv:11.0) like Gecko", WEB, WINDOWS),
        ("Mozilla/5.0 (Windows NT 6.3; ARM; Trident/7.0; Touch; rv:11.0) like Gecko", WEB, WINDOWS),
        (
            f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Version/17.5 Safari/605.1.15",
            WEB,
            MACOS,
        ),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {BLINK} Safari/537.36", WEB, MACOS),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:127.0) Gecko/20100101 Firefox/127.0", WEB, MACOS),
        (
            f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {WEBKIT} Version/17.5 Mobile/15E148",
            WEB,
            IOS,
        ),
        (
            f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {WEBKIT} CriOS/126.0 Mobile/15E148",
            WEB,
            IOS,
        ),
        (f"Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) {WEBKIT} Version/12.1 Mobile/15E148", WEB, IOS),
        (f"Mozilla/5.0 (iPod touch; CPU iPhone OS 12_5 like Mac OS X) {WEBKIT}", WEB, IOS),
        (f"Mozilla/5.0 (Linux; Android 10; K) {BLINK} Mobile Safari/537.36", WEB, ANDROID),
        ("Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0", WEB, ANDROID),
        ("Mozilla/5.0 (Linux; U; Android 4.4.2; en-us; KFTT Build/KOT49H) Silk/3.17", WEB, ANDROID),
        # iPadOS and iOS in desktop mode: a web view gives itself away, Safari does not
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Mobile/15E148", WEB, IOS),
        # Linux
        (f"Mozilla/5.0 (X11; Linux x86_64) {BLINK} Safari/537.36", WEB, LINUX),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", WEB, LINUX),
        ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0", WEB, LINUX),
        ("Mozilla/5.0 (X11; Fedora; Linux x86_64; rv:60.0) Gecko/20100101 Firefox/60.0", WEB, LINUX),
        ("Mozilla/5.0 (Wayland; Linux aarch64; rv:140.0) Gecko/20100101 Firefox/140.0", WEB, LINUX),
        (f"Mozilla/5.0 (X11; Linux x86_64) {BLINK} Safari/537.36 Edg/126.0.0.0", WEB, LINUX),
        (f"Mozilla/5.0 (X11; Linux x86_64) {BLINK} Teams/1.5.00.10453 Safari/537.36", MODERN, LINUX),
        ("Mozilla/5.0 (compatible; Konqueror/4.5; Linux) KHTML/4.5.4 (like Gecko) Kubuntu", WEB, LINUX),
        # What says Linux and is no such computer
        (f"Mozilla/5.0 (SMART-TV; X11; Linux armv7l) {WEBKIT}", WEB, OTHER_DESKTOP),
        (
            f"Mozilla/5.0 (DirectFB; Linux armv7l) {WEBKIT} LG Browser/6.00; LG NetCast.TV-2013",
            WEB,
            OTHER_DESKTOP,
        ),
        (f"Mozilla/5.0 (Linux; NetCast; U) {WEBKIT} SmartTV/10.0", WEB, OTHER_DESKTOP),
        ("HbbTV/1.2.1 (;Panasonic;VIERA 2013;3.672;4101-0003 0002-0000;) Linux", WEB, OTHER_DESKTOP),
        ("Opera/9.80 (Linux armv7l; Opera TV Store/5581; Sony) Presto/2.12.362", WEB, OTHER_DESKTOP),
        (f"Mozilla/5.0 (X11; Linux armv7l) {BLINK} CrKey/1.54.248666", WEB, OTHER_DESKTOP),
        (f"Mozilla/5.0 (X11; U; Linux armv7l like Android; en-us) {WEBKIT} Kindle/3.0+", WEB, OTHER_DESKTOP),
        (f"Mozilla/5.0 (X11; GNU/Linux) {BLINK} Tesla/2022.44.30", WEB, OTHER_DESKTOP),
        ("Mozilla/5.0 (X11; Linux aarch64; Mobile; rv:128.0) Gecko/128.0 Firefox/128.0", WEB, OTHER_DESKTOP),
        (
            "Mozilla/5.0 (Linux; U; Sailfish 3.0; Mobile; rv:45.0) Gecko/45.0 SailfishBrowser/1.0",
            WEB,
            OTHER_DESKTOP,
        ),
        # Other desktops
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {BLINK} Safari/537.36", WEB, OTHER_DESKTOP),
        ("Mozilla/5.0 (X11; FreeBSD amd64; rv:127.0) Gecko/20100101 Firefox/127.0", WEB, OTHER_DESKTOP),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) {BLINK} Edge/44", WEB, OTHER_DESKTOP),
        (f"Mozilla/5.0 (PlayStation; PlayStation 5/2.26) {WEBKIT}", WEB, OTHER_DESKTOP),
        ("curl/8.5.0", WEB, OTHER_DESKTOP),
        ("python-requests/2.32.3", WEB, OTHER_DESKTOP),
        # Other phones
        (
            f"Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) {BLINK} Edge/15.15063",
            WEB,
            OTHER_MOBILE,
        ),
        (
            "Mozilla/5.0 (Mobile; Windows Phone 8.1; Android 4.0; ARM; Trident/7.0; rv:11.0; IEMobile/11.0)"
            " like iPhone OS 7_0_3 Mac OS X AppleWebKit/537 (KHTML, like Gecko) Mobile Safari/537",
            WEB,
            OTHER_MOBILE,
        ),
        ("Mozilla/4.0 (compatible; MSIE 4.01; Windows CE; PPC; 240x320)", WEB, OTHER_MOBILE),
        ("Mozilla/5.0 (BB10; Touch) AppleWebKit/537.10+ Version/10.0.9.2372 Mobile", WEB, OTHER_MOBILE),
        ("BlackBerry9700/5.0.0.862 Profile/MIDP-2.1 Configuration/CLDC-1.1 VendorID/331", WEB, OTHER_MOBILE),
        ("Mozilla/5.0 (PlayBook; U; RIM Tablet OS 2.1.0; en-US) AppleWebKit/536.2+", WEB, OTHER_MOBILE),
        ("Mozilla/5.0 (Mobile; Nokia_8110_4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5", WEB, OTHER_MOBILE),
        ("Mozilla/5.0 (Linux; Tizen 2.3; SAMSUNG SM-Z130H) AppleWebKit/537.3", WEB, OTHER_MOBILE),
        ("Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 ArkWeb/4.1.6.1 Mobile", WEB, OTHER_MOBILE),
        ("Mozilla/5.0 (SymbianOS/9.4; Series60/5.0 NokiaN97-1/20.0.019)", WEB, OTHER_MOBILE),
        ("Opera/9.80 (J2ME/MIDP; Opera Mini/7.1.32052/29.3709; U; en) Presto/2.8.119", WEB, OTHER_MOBILE),
        # Rich clients with modern authentication
        (f"{IE7}; Microsoft Outlook 16.0.5266; ms-office; MSOffice 16)", MODERN, WINDOWS),
        (f"{IE7}; MSAL 1.0)", MODERN, WINDOWS),
        (f"{IE7}; ADAL 1.0)", MODERN, WINDOWS),
        ("Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.13127; Pro)", MODERN, WINDOWS),
        ("Microsoft Office/15.0 (Windows NT 6.1; Microsoft Outlook 15.0.4849; Pro)", MODERN, WINDOWS),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; WebView/3.0) {BLINK} PKeyAuth/1.0", MODERN, WINDOWS),
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Teams/24124.2315 Safari/537.36",
            MODERN,
            WINDOWS,
        ),
        ("Microsoft Word/16.86 (Macintosh; Mac OS X Version 14.5 (Build 23F79))", MODERN, MACOS),
        ("MacOutlook/16.86.24061443 (Intelx64 Mac OS X Version 14.5 (Build 23F79))", MODERN, MACOS),
        ("Microsoft%20Outlook/16.86 CFNetwork/1496.0.7 Darwin/23.5.0 (x86_64)", MODERN, MACOS),
        (f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {WEBKIT} PKeyAuth/1.0", MODERN, IOS),
        ("Outlook-iOS/723.4043407.prod.iphone (4.28.0)", MODERN, IOS),
        (f"Mozilla/5.0 (Linux; Android 14; Pixel 8; wv) {BLINK} Mobile PKeyAuth/1.0", MODERN, ANDROID),
        ("Outlook-Android/2.0", MODERN, ANDROID),
        # Exchange ActiveSync and legacy authentication
        ("Apple-iPhone12C1/1905.258", LEGACY, IOS),
        ("Apple-iPad6C11/1805.69", LEGACY, IOS),
        ("Android-Mail/2024.05.12.635262137.Release", LEGACY, ANDROID),
        ("Android/10-EAS-2.0", LEGACY, ANDROID),
        ("SAMSUNG-SM-G991B/101.13030001", LEGACY, ANDROID),
        ("Outlook-iOS-Android/1.0", LEGACY, ANDROID),
        ("MSFT-WP/10.0.15254", LEGACY, OTHER_MOBILE),
        ("Microsoft Office/14.0 (Windows NT 6.1; Microsoft Outlook 14.0.7015; Pro)", LEGACY, WINDOWS),
        (f"{IE7}; ms-office; MSOffice 14)", LEGACY, WINDOWS),
        ("BAV2ROPC", LEGACY, OTHER_DESKTOP),
        ("CBAInPROD", LEGACY, OTHER_DESKTOP),
        # What says nothing, and what says too much
        ("Mozilla/5.0", WEB, OTHER_DESKTOP),
        ("-", WEB, OTHER_DESKTOP),
        ("any", WEB, OTHER_DESKTOP),
        ("\x00\ud800", WEB, OTHER_DESKTOP),
    ],
)
def test_a_user_agent_claims(user_agent: str, client: Client, platform: Platform) -> None:
    assert classify(user_agent) == (client, platform)


@pytest.mark.parametrize(
    "user_agent",
    [None, "", "   ", "Mozilla/5.0 (Windows NT 10.0) " + "x" * MAX_USER_AGENT_CHARACTERS],
    ids=["missing", "empty", "blank", "too long"],
)
def test_no_usable_user_agent_is_a_browser_on_another_desktop(user_agent: str | None) -> None:
    assert classify(user_agent) == UNKNOWN == (WEB, OTHER_DESKTOP)


def test_what_is_remembered_is_bounded() -> None:
    preload()
    for number in range(3 * CACHED_USER_AGENTS // 2):
        classify(f"-{number}")
    from gateway.policy.user_agent import _classify  # the cache has no public face

    assert _classify.cache_info().currsize == CACHED_USER_AGENTS
