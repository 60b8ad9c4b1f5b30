$ErrorActionPreference = 'Stop'
Remove-Item -Path 'Cert:\CurrentUser\My\0123456789ABCDEF0123456789ABCDEF01234567' -DeleteKey
