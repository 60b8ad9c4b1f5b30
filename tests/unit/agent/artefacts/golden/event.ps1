$ErrorActionPreference = 'Stop'
$text = [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('b2s='))
$event = @{ LogName = 'Device Trust'; Source = 'Device Trust'; EventId = 1000; EntryType = 'Information' }
Write-EventLog @event -Message $text
