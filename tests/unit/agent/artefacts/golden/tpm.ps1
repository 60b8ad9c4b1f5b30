$ErrorActionPreference = 'SilentlyContinue'
$tpm = Get-CimInstance -Namespace root/cimv2/Security/MicrosoftTpm -ClassName Win32_Tpm
if ($tpm -and $tpm.IsEnabled_InitialValue -and $tpm.IsActivated_InitialValue) { 'yes' } else { 'no' }
