"""Keys and certificates in the Windows store of the person (`Cert:\\CurrentUser\\My`), by certreq and
PowerShell.

A key is made by the "Microsoft Platform Crypto Provider", which keeps it in the TPM, or by the software
provider; it cannot be exported from either.

What is put into a script is a number, a name of our own, or base64, so that no name of a certificate and no
message can become a command.
"""

import base64
from typing import Final

PLATFORM_PROVIDER: Final = "Microsoft Platform Crypto Provider"
SOFTWARE_PROVIDER: Final = "Microsoft Software Key Storage Provider"
FRIENDLY_NAME: Final = "Device Trust"
_POWERSHELL: Final = ("powershell.exe", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass")
# What may stand in a subject in an INF file. The org names devices itself: it need not be exact.
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .-_@")
MAX_COMMON_NAME_CHARACTERS: Final = 64


def powershell(script: str) -> tuple[str, ...]:
    """The command line. Encoded, because a script on standard input is read as if somebody typed it, block by
    block; Windows allows 32,767 characters for all of it."""
    return (*_POWERSHELL, "-EncodedCommand", base64.b64encode(script.encode("utf-16-le")).decode())


def certreq_inf(common_name: str, *, hardware: bool) -> str:
    """The input of `certreq -new -user`. Characters that mean something in an INF file become `-`."""
    plain = "".join(character if character in _PLAIN else "-" for character in common_name)
    subject = plain[:MAX_COMMON_NAME_CHARACTERS].strip() or "device"
    return f"""\
[Version]
Signature="$Windows NT$"

[NewRequest]
Subject = "CN={subject}"
FriendlyName = "{FRIENDLY_NAME}"
ProviderName = "{PLATFORM_PROVIDER if hardware else SOFTWARE_PROVIDER}"
KeyAlgorithm = ECDSA_P256
Exportable = FALSE
MachineKeySet = FALSE
KeyUsage = 0x80
HashAlgorithm = SHA256
RequestType = PKCS10
SMIME = FALSE
Silent = TRUE

[EnhancedKeyUsageExtension]
OID = 1.3.6.1.5.5.7.3.2
"""


# Answers with a JSON list of {handle, certificate, has_key}.
FIND_SCRIPT: Final = """\
$ErrorActionPreference = 'Stop'
$found = Get-ChildItem -Path Cert:\\CurrentUser\\My | ForEach-Object {
  [pscustomobject]@{
    handle = $_.Thumbprint
    certificate = [Convert]::ToBase64String($_.RawData)
    has_key = [bool]$_.HasPrivateKey
  }
}
ConvertTo-Json -Compress -InputObject @($found)
"""


def remove_script(handle: str) -> str:
    """``handle`` is the SHA-1 in hex that the store names certificates by. Raises ValueError for another."""
    if len(handle) != 40 or not set(handle) <= set("0123456789ABCDEFabcdef"):
        raise ValueError(f"{handle!r} is not a thumbprint of the Windows store")
    return f"""\
$ErrorActionPreference = 'Stop'
Remove-Item -Path 'Cert:\\CurrentUser\\My\\{handle.upper()}' -DeleteKey
"""


# The TPM is there, and ready to keep keys.
TPM_SCRIPT: Final = """\
$ErrorActionPreference = 'SilentlyContinue'
$tpm = Get-CimInstance -Namespace root/cimv2/Security/MicrosoftTpm -ClassName Win32_Tpm
if ($tpm -and $tpm.IsEnabled_InitialValue -and $tpm.IsActivated_InitialValue) { 'yes' } else { 'no' }
"""


def event_script(source: str, event_id: int, entry_type: str, message_base64: str) -> str:
    """``message_base64`` is UTF-8. ``entry_type``: Information, Warning or Error."""
    return f"""\
$ErrorActionPreference = 'Stop'
$text = [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('{message_base64}'))
$event = @{{ LogName = '{source}'; Source = '{source}'; EventId = {event_id}; EntryType = '{entry_type}' }}
Write-EventLog @event -Message $text
"""


def register_event_source_script(source: str) -> str:
    return f"""\
$ErrorActionPreference = 'Stop'
if (-not [Diagnostics.EventLog]::SourceExists('{source}')) {{
  New-EventLog -LogName '{source}' -Source '{source}'
}}
"""


def remove_event_source_script(source: str) -> str:
    return f"""\
if ([Diagnostics.EventLog]::SourceExists('{source}')) {{ Remove-EventLog -LogName '{source}' }}
"""
