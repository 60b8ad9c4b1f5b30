"""User-Agent → client and platform (RFC 9110 §10.1.5). A claim by the client, never a proof.

What is unknown, missing or too long is a web browser on another desktop: a rule has to name
``other_desktop`` to select it, and no certificate is accepted from there. Nothing is ever "any".
Legacy authentication is recognized only by its own names, since policies tend to let it in unasked.

Not told apart, because the strings are the same: Safari on an iPad or iPhone that asks for desktop
sites and Safari on a Mac (both ``macos``), Chrome on Android in desktop mode and Chrome on Linux
(both ``linux``).
"""

import re
from functools import cache, lru_cache
from typing import Final

from ua_parser import BasicResolver, Domain
from ua_parser.loaders import load_builtins

from gateway.model.decision import Client, Platform

# Browsers send 100 to 250 characters; Internet Explorer inside Outlook with every .NET version of a PC
# reaches about 600. The patterns' running time grows with the length.
MAX_USER_AGENT_CHARACTERS: Final = 1024
# A company has some hundred different ones. Bounded, because the peer chooses the keys: 2 MB at worst.
CACHED_USER_AGENTS: Final = 2048

UNKNOWN: Final = (Client.WEB_BROWSER, Platform.OTHER_DESKTOP)

# Exchange ActiveSync clients name the device and its build (MS-ASHTTP §2.2.1.1.2.6); BAV2ROPC and
# CBAIn… are what Exchange Online sends on behalf of basic authentication; Office up to 2010 has no
# modern authentication.
_LEGACY = re.compile(
    r"""
      ActiveSync | \bBAV2ROPC\b | \bCBAIn(?:PROD|TAR) | \bOutlook-iOS-Android/ | \bMSFT-(?:WP|PPC|SPhone)/
    | ^Apple-i(?:Phone|Pad|Pod) | ^Android(?:-Mail)?/[0-9] | ^(?:Android-)?SAMSUNG-SM-
    | ^Microsoft\ Office/1[0-4]\. | \bMSOffice\ 1[0-4]\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
# Rich clients that sign on through a web view of the modern authentication libraries (ADAL, MSAL, the
# Windows account manager and the brokers on phones, which announce PKeyAuth).
_MODERN = re.compile(
    r"""
      \bPKeyAuth/ | \bMSAL\b | \bADAL\b | \bMSAuthHost/ | \bms-office\b | \bMSOffice\ 1[56]\b
    | ^Microsoft\ (?:Office|Word|Excel|PowerPoint|OneNote|Outlook|Access|Publisher|Project|Visio)/
    | \bMicrosoft(?:\ |%20)(?:Outlook|Office)\b | \bMacOutlook/ | \bOutlook-(?:iOS|Android)/
    | \bcom\.microsoft\. | \bTeams(?:Mobile-(?:iOS|Android))?/[0-9]
    | \bOneDrive(?:Sync|MpcLite|MOD)?/ | \bMicrosoft\ SkyDriveSync\b
    | \bSkype\ for\ Business\b | \bLync/ | \bUC(?:CAPI|WA)/
    """,
    re.VERBOSE | re.IGNORECASE,
)
# What the patterns below would take for something else, first match wins.
_OVERRIDES: Final = (
    (re.compile(r"\bXbox\b", re.IGNORECASE), Platform.OTHER_DESKTOP),  # says Windows NT 10.0
    (re.compile(r"\bWindows CE\b|\bMSFT-(?:WP|PPC|SPhone)/", re.IGNORECASE), Platform.OTHER_MOBILE),
    (re.compile(r"^Apple-i(?:Phone|Pad|Pod)|\bOutlook-iOS/|\bTeamsMobile-iOS/"), Platform.IOS),
    (re.compile(r"^SAMSUNG-SM-|^Android|\bOutlook-Android/|\bTeamsMobile-Android/"), Platform.ANDROID),
    # CFNetwork names the kernel; only a Mac has had an Intel one.
    (re.compile(r"\bDarwin/\S+ \(x86_64\)"), Platform.MACOS),
    # iPadOS in desktop mode says Macintosh; only its web views add the phone build.
    (re.compile(r"\bOpenHarmony\b|\bJ2ME\b"), Platform.OTHER_MOBILE),
    (re.compile(r"\(Macintosh;.*\bMobile/[0-9]+[A-Z]"), Platform.IOS),
    (re.compile(r"\bMacOutlook/|\(Macintosh;|Mac OS X \d+[._]\d+.*\bMicrosoft Outlook\b"), Platform.MACOS),
)
# They say Linux and are no computers that a company enrolls: television sets, readers, cars, phones.
_NO_LINUX_COMPUTER = re.compile(
    r"""
      TV(?:\b|[0-9])
    | \b(?:NetCast|Web0S|BRAVIA|Viera|VIDAA|Roku|CrKey|DirectFB|PlayStation|Nintendo|Kindle|Tesla)\b
    | \b(?:Mobile|Tablet|like\ Android)\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PLATFORM_OF_FAMILY: Final = {
    "Windows": Platform.WINDOWS,
    "iOS": Platform.IOS,
    "Android": Platform.ANDROID,
    "Mac OS X": Platform.MACOS,
    "Mac OS": Platform.MACOS,
    **dict.fromkeys(
        (
            "Linux",
            "Arch Linux",
            "BackTrack",
            "CentOS",
            "Debian",
            "Fedora",
            "Gentoo",
            "Kubuntu",
            "Linux Mint",
            "Lubuntu",
            "Mageia",
            "Mandriva",
            "openSUSE",
            "PCLinuxOS",
            "Puppy",
            "Red Hat",
            "Slackware",
            "SUSE",
            "Ubuntu",
        ),
        Platform.LINUX,
    ),
    **dict.fromkeys(
        (
            "Windows Phone",
            "Windows Mobile",
            "BlackBerry OS",
            "BlackBerry Tablet OS",
            "Symbian OS",
            "Symbian^3",
            "Symbian^3 Anna",
            "Symbian^3 Belle",
            "Firefox OS",
            "KaiOS",
            "Tizen",
            "webOS",
            "Bada",
            "MeeGo",
            "Maemo",
            "Brew MP",
            "HarmonyOS",
            "WatchOS",
        ),
        Platform.OTHER_MOBILE,
    ),
}


def classify(user_agent: str | None) -> tuple[Client, Platform]:
    """What a User-Agent claims to be. Never raises; None is a missing field.

    About 100 µs for a string not seen lately (1 ms for the longest), else below 1 µs. The patterns are
    loaded by the first call that needs them (100 ms): see `preload`.
    """
    if user_agent is None or not user_agent.strip() or len(user_agent) > MAX_USER_AGENT_CHARACTERS:
        return UNKNOWN
    return _classify(user_agent)


def preload() -> None:
    """Load the patterns now, so that no request waits for them. Called at the start of a worker."""
    _operating_systems()


@lru_cache(maxsize=CACHED_USER_AGENTS)
def _classify(user_agent: str) -> tuple[Client, Platform]:
    return _client(user_agent), _platform(user_agent)


def _client(user_agent: str) -> Client:
    if _LEGACY.search(user_agent):
        return Client.EXCHANGE_ACTIVESYNC_OR_LEGACY_AUTH
    if _MODERN.search(user_agent):
        return Client.MODERN_AUTH
    return Client.WEB_BROWSER


def _platform(user_agent: str) -> Platform:
    for pattern, platform in _OVERRIDES:
        if pattern.search(user_agent):
            return platform
    found = _operating_systems()(user_agent, Domain.OS).os
    if found is None:
        return Platform.OTHER_DESKTOP
    platform = _PLATFORM_OF_FAMILY.get(found.family, Platform.OTHER_DESKTOP)
    if platform is Platform.LINUX and _NO_LINUX_COMPUTER.search(user_agent):
        return Platform.OTHER_DESKTOP
    return platform


@cache
def _operating_systems() -> BasicResolver:
    _, operating_systems, _ = load_builtins()
    return BasicResolver(([], operating_systems, []))
