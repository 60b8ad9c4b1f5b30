$ErrorActionPreference = 'Stop'
$found = Get-ChildItem -Path Cert:\CurrentUser\My | ForEach-Object {
  [pscustomobject]@{
    handle = $_.Thumbprint
    certificate = [Convert]::ToBase64String($_.RawData)
    has_key = [bool]$_.HasPrivateKey
  }
}
ConvertTo-Json -Compress -InputObject @($found)
