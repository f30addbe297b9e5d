# Puts the program into bin\ of the plugin; the install and the update hook of plugin.yaml on Windows, and the twin of
# install-binary.sh. For Windows PowerShell 5.1, which every Windows has, and newer.
#
#   HELM_SIGSTORE_BINARY=PATH        install this program; nothing is downloaded or built
#   HELM_SIGSTORE_DOWNLOAD_URL=URL   install URL/helm-sigstore-VERSION-windows-ARCH.exe, VERSION being that of
#                                    plugin.yaml; what comes must have the SHA-256 digest that is known beforehand:
#   HELM_SIGSTORE_SHA256=HEX         that digest; else its line in checksums.txt beside this file (form of sha256sum)
#   HELM_SIGSTORE_SKIP_INSTALL=1     do nothing
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

# Seconds that a download may take.
$MaxSeconds = 600

function Say([string] $Text) {
    [Console]::Error.WriteLine("helm-sigstore: $Text")
}

# A failed hook leaves the plugin's directory behind, and Helm then refuses to install into it.
function Fail([string] $Text) {
    Say $Text
    if ($script:CalledByHelm) {
        Say 'run: helm plugin uninstall sigstore and retry'
    }
    exit 1
}

# The value of a top-level key of a manifest, without quotes and comment; nothing if it has none.
function Get-ManifestValue([string] $Path, [string] $Key) {
    $pattern = '^' + $Key + ':\s*(?:"([^"]*)"|''([^'']*)''|([^#\s]+))'
    foreach ($line in [IO.File]::ReadAllLines($Path)) {
        $match = [regex]::Match($line, $pattern)
        if ($match.Success) {
            return $match.Groups[1].Value + $match.Groups[2].Value + $match.Groups[3].Value
        }
    }
    return ''
}

# Removes the copy that Helm made. A plugin from a local directory is a link to that directory, which is the user's:
# only the link goes. Anywhere but among Helm's plugins nothing is touched.
function Remove-OwnDirectory([string] $Parent) {
    $item = Get-Item -LiteralPath $script:PluginDir -Force
    if (($item.Attributes -band [IO.FileAttributes]::ReparsePoint) -ne 0) {
        [IO.Directory]::Delete($script:PluginDir, $false)
        return $true
    }
    if (($Parent -eq $env:HELM_PLUGINS) -or ((Split-Path -Leaf $Parent) -eq 'plugins')) {
        Remove-Item -LiteralPath $script:PluginDir -Recurse -Force
        return $true
    }
    return $false
}

# With two plugins of one name Helm loads none at all, and cannot uninstall either of them: so this one goes.
function Assert-OnlyPlugin {
    $parent = Split-Path -Parent $script:PluginDir
    $own = Split-Path -Leaf $script:PluginDir
    foreach ($other in @(Get-ChildItem -LiteralPath $parent -Force)) {
        $manifest = Join-Path $other.FullName 'plugin.yaml'
        if (($other.Name -eq $own) -or -not (Test-Path -LiteralPath $manifest -PathType Leaf)) {
            continue
        }
        if ((Get-ManifestValue $manifest 'name') -ne 'sigstore') {
            continue
        }
        Say "another plugin is named sigstore: $($other.FullName)"
        if (Remove-OwnDirectory $parent) {
            Say 'this one was removed again; to replace the other, run: helm plugin uninstall sigstore and retry'
        }
        else {
            Say "Helm loads no plugin until one is removed, for example: Remove-Item -Recurse '$($other.FullName)'"
        }
        exit 1
    }
}

# What a program says to `version --short`: its version.
function Get-Answer([string] $Path) {
    try {
        return [string] (& $Path version --short | Select-Object -First 1)
    }
    catch {
        return ''
    }
}

# The platform as Go, and so Helm, names it.
function Get-Platform {
    $arch = $env:PROCESSOR_ARCHITECTURE
    # A 32-bit PowerShell on a 64-bit Windows is told of the machine by another name.
    if ($env:PROCESSOR_ARCHITEW6432) {
        $arch = $env:PROCESSOR_ARCHITEW6432
    }
    switch ($arch) {
        'AMD64' { return 'windows-amd64' }
        'ARM64' { return 'windows-arm64' }
    }
    Fail "no program is offered for Windows on $arch; build it there, or set HELM_SIGSTORE_BINARY to its path"
}

# The digest that a file of the release has to have: 64 hexadecimal digits in lower case, or nothing.
function Get-KnownDigest([string] $Name) {
    $digest = ''
    $list = Join-Path $script:PluginDir 'checksums.txt'
    if ($env:HELM_SIGSTORE_SHA256) {
        $digest = $env:HELM_SIGSTORE_SHA256
    }
    elseif (Test-Path -LiteralPath $list -PathType Leaf) {
        foreach ($line in [IO.File]::ReadAllLines($list)) {
            $fields = $line.Trim() -split '\s+'
            if (($fields.Count -eq 2) -and ($fields[1].TrimStart('*') -ceq $Name)) {
                $digest = $fields[0]
                break
            }
        }
    }
    if ($digest -match '^[0-9A-Fa-f]{64}$') {
        return $digest.ToLowerInvariant()
    }
    return ''
}

function Get-Digest([string] $Path) {
    return (Get-FileHash -LiteralPath $Path -Algorithm SHA256).Hash.ToLowerInvariant()
}

# Copies a program to bin\helm-sigstore.exe at once or not at all.
function Install-Program([string] $From) {
    $new = Join-Path $script:BinDir ".helm-sigstore.$PID.exe"
    $old = Join-Path $script:BinDir ".helm-sigstore.old.$PID.exe"
    try {
        Copy-Item -LiteralPath $From -Destination $new -Force
        $answer = Get-Answer $new
        if ($answer -ne $script:Version) {
            Fail "$From is not helm-sigstore $($script:Version); its answer to 'version --short': '$answer'"
        }
        # A program that runs cannot be replaced on Windows, but it can be renamed.
        if (Test-Path -LiteralPath $script:Program) {
            Move-Item -LiteralPath $script:Program -Destination $old -Force
        }
        Move-Item -LiteralPath $new -Destination $script:Program -Force
    }
    finally {
        Remove-Item -LiteralPath $new, $old -Force -ErrorAction SilentlyContinue
    }
}

# Downloads the program, unless it is in place already.
function Install-Download([string] $Url) {
    $name = "helm-sigstore-$($script:Version)-$(Get-Platform).exe"
    $digest = Get-KnownDigest $name
    if (-not $digest) {
        Fail "the SHA-256 digest of $name is not known, so nothing is downloaded; set HELM_SIGSTORE_SHA256 to its 64 hexadecimal digits"
    }
    if ((Test-Path -LiteralPath $script:Program) -and ((Get-Digest $script:Program) -eq $digest)) {
        return
    }
    if ($Url -notmatch '^(https://|http://(127\.0\.0\.1|localhost|\[::1\])[:/])') {
        Fail 'HELM_SIGSTORE_DOWNLOAD_URL does not begin with https://'
    }
    # Windows PowerShell 5.1 on an older Windows offers nothing newer by itself.
    [Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor 3072
    $fetched = Join-Path $script:BinDir ".fetched.$PID.exe"
    try {
        try {
            Invoke-WebRequest -UseBasicParsing -Uri ($Url.TrimEnd('/') + '/' + $name) -OutFile $fetched -TimeoutSec $MaxSeconds
        }
        catch {
            Fail "cannot download ${name}: $($_.Exception.Message)"
        }
        $found = Get-Digest $fetched
        if ($found -ne $digest) {
            Fail "$name is not what it has to be`n  expected  sha256:$digest`n  found     sha256:$found"
        }
        Install-Program $fetched
    }
    finally {
        Remove-Item -LiteralPath $fetched -Force -ErrorAction SilentlyContinue
    }
}

# The program that cargo built. cargo itself decides what has to be built anew, so that what is installed is never
# older than its sources.
function Get-Built {
    if (-not (Get-Command cargo -ErrorAction SilentlyContinue)) {
        Fail ('there is no release to download yet, and cargo (https://rustup.rs) is not here to build helm-sigstore; ' +
            'or build it elsewhere and set HELM_SIGSTORE_BINARY to its path')
    }
    Say "building helm-sigstore $($script:Version) with cargo; the first time this takes some minutes"
    $built = ''
    # Randomness from two sources, without the processor's jitter, as in install-binary.sh.
    $env:AWS_LC_SYS_NO_JITTER_ENTROPY = '1'
    # A toolchain file or a .cargo\config.toml counts for whoever stands in the directory.
    Push-Location -LiteralPath $script:PluginDir
    try {
        $messages = @(& cargo build --release --locked -p helm-sigstore --bin helm-sigstore --message-format json-render-diagnostics)
        if ($LASTEXITCODE -ne 0) {
            Fail "cargo could not build helm-sigstore $($script:Version)"
        }
    }
    finally {
        Pop-Location
    }
    foreach ($line in $messages) {
        $match = [regex]::Match($line, '"executable":"((?:[^"\\]|\\.)*)"')
        if ($match.Success) {
            $built = $match.Groups[1].Value.Replace('\\', '\')
        }
    }
    if (-not $built) {
        Fail 'cargo did not say where it put helm-sigstore'
    }
    return $built
}

if ($env:HELM_SIGSTORE_SKIP_INSTALL -eq '1') {
    exit 0
}
$script:CalledByHelm = [bool] $env:HELM_PLUGIN_NAME
$script:PluginDir = $PSScriptRoot
if ($env:HELM_PLUGIN_DIR) {
    $script:PluginDir = $env:HELM_PLUGIN_DIR
}
$script:PluginDir = [IO.Path]::GetFullPath($script:PluginDir).TrimEnd('\', '/')
if ($script:CalledByHelm) {
    Assert-OnlyPlugin
}
$script:Version = Get-ManifestValue (Join-Path $script:PluginDir 'plugin.yaml') 'version'
if (-not $script:Version) {
    Fail "$($script:PluginDir)\plugin.yaml names no version"
}
$script:BinDir = Join-Path $script:PluginDir 'bin'
$script:Program = Join-Path $script:BinDir 'helm-sigstore.exe'
New-Item -ItemType Directory -Force -Path $script:BinDir | Out-Null

if ($env:HELM_SIGSTORE_BINARY) {
    if (-not (Test-Path -LiteralPath $env:HELM_SIGSTORE_BINARY -PathType Leaf)) {
        Fail "HELM_SIGSTORE_BINARY: no such file: $env:HELM_SIGSTORE_BINARY"
    }
    Install-Program $env:HELM_SIGSTORE_BINARY
}
elseif ($env:HELM_SIGSTORE_DOWNLOAD_URL) {
    Install-Download $env:HELM_SIGSTORE_DOWNLOAD_URL
}
elseif (Test-Path -LiteralPath (Join-Path $script:PluginDir 'Cargo.toml')) {
    Install-Program (Get-Built)
}
elseif (-not (Test-Path -LiteralPath $script:Program) -or ((Get-Answer $script:Program) -ne $script:Version)) {
    # Not a clone, so an archive that should have brought the program.
    Fail "$($script:Program) is missing or is not version $($script:Version), and there are no sources to build it from"
}
Say "helm-sigstore $($script:Version) is in place: $($script:Program)"
exit 0
