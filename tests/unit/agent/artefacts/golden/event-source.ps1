$ErrorActionPreference = 'Stop'
if (-not [Diagnostics.EventLog]::SourceExists('Device Trust')) {
  New-EventLog -LogName 'Device Trust' -Source 'Device Trust'
}
