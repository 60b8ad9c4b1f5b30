if ([Diagnostics.EventLog]::SourceExists('Device Trust')) { Remove-EventLog -LogName 'Device Trust' }
