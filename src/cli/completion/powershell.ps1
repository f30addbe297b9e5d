# Completion of helm-sigstore for PowerShell:
# helm-sigstore completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName 'helm-sigstore' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Where-Object { $_.Extent.StartOffset -lt $cursorPosition } |
        ForEach-Object { $_.Extent.Text })
    $program = $words[0]
    $words = @($words | Select-Object -Skip 1)
    if (-not $wordToComplete) {
        # Older versions drop an empty argument.
        $words += if ($PSVersionTable.PSVersion -ge [version]'7.3') { '' } else { '""' }
    }
    $answer = @(& $program __complete @words 2>$null)
    if ($answer.Count -lt 2) { return }
    foreach ($line in $answer[0..($answer.Count - 2)]) {
        $value, $text = $line -split "`t", 2
        if (-not $text) { $text = $value }
        [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $text)
    }
}
