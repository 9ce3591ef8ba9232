"""Decides how a ready-made fact is asked of a Windows host: a command for PowerShell with the same lines every time."""

from collections.abc import Mapping

from plans.schema_facts import SQLSERVER_QUERY
from plans.windows import quote

_TOOLS = """$ErrorActionPreference = 'Stop'
function Complain([string]$said) { $said; [Console]::Error.WriteLine($said); exit 69 }
function Write-Sorted($lines) {
  $sorted = [string[]]@($lines | ForEach-Object { "$_" } | Where-Object { $_ } | Select-Object -Unique)
  [Array]::Sort($sorted, [StringComparer]::Ordinal)
  $sorted
}
"""

_PACKAGES = r"""$under = 'Software\Microsoft\Windows\CurrentVersion\Uninstall\*'
$keys = "HKLM:\$under", "HKLM:\$($under.Replace('Software\', 'Software\WOW6432Node\'))"
$all = Get-ItemProperty -Path $keys -ErrorAction SilentlyContinue
$programs = $all | Where-Object { $_.PSObject.Properties['DisplayName'] }
$fixes = Get-CimInstance Win32_QuickFixEngineering | ForEach-Object { "update $($_.HotFixID)" }
Write-Sorted (@($programs | ForEach-Object { "$($_.DisplayName) $($_.DisplayVersion)" }) + @($fixes))
"""

# What starts on demand comes and goes: of the running ones, those count that are started at boot.
_SERVICES = r"""Write-Sorted @(Get-CimInstance Win32_Service | ForEach-Object {
  $name = $_.Name -replace '_[0-9a-f]{4,}$', ''
  "$name $($_.StartMode)"
  if ($_.StartMode -eq 'Auto' -and $_.State -eq 'Running') { "$name running" }
})
"""

_FILES = r"""if (-not (Test-Path -LiteralPath $path)) { Complain "there is no $path" }
Write-Sorted @(Get-ChildItem -LiteralPath $path -Recurse -File -Force | ForEach-Object {
  "$($_.FullName) $((Get-FileHash -Algorithm SHA256 -LiteralPath $_.FullName).Hash.ToLowerInvariant())"
})
"""

# Four digits tell that a value is another, and too little to guess it by.
_ENVIRONMENT = r"""$sha = [Security.Cryptography.SHA256]::Create()
$all = [Environment]::GetEnvironmentVariables('Machine')
Write-Sorted @($all.Keys | ForEach-Object {
  $hash = $sha.ComputeHash([Text.Encoding]::UTF8.GetBytes([string]$all[$_]))
  "$_ $([BitConverter]::ToString($hash, 0, 2).Replace('-', '').ToLowerInvariant())"
})
"""

# Ports from 49152 on are given out as they come.
_PORTS = r"""function Get-Kind([string]$address) {
  if ($address -in '0.0.0.0', '::') { 'everywhere' }
  elseif ($address -like '127.*' -or $address -eq '::1') { 'loopback' }
  else { 'one address' }
}
$tcp = Get-NetTCPConnection -State Listen | ForEach-Object { [pscustomobject]@{ Kind = 'tcp'; At = $_ } }
$udp = Get-NetUDPEndpoint | ForEach-Object { [pscustomobject]@{ Kind = 'udp'; At = $_ } }
Write-Sorted @(@($tcp) + @($udp) | Where-Object { $_.At.LocalPort -lt 49152 } | ForEach-Object {
  "$($_.Kind) $($_.At.LocalPort) $(Get-Kind $_.At.LocalAddress)"
})
"""

_SQLSERVER = f"""$tool = Get-Command sqlcmd -ErrorAction SilentlyContinue
if (-not $tool) {{ Complain 'sqlcmd is not here to read the schema with' }}
$trust = if ($env:SQLCMDSERVER) {{ @() }} else {{ @('-C') }}
$query = @'
{SQLSERVER_QUERY}'@
$file = [IO.Path]::GetTempFileName()
try {{
  [IO.File]::WriteAllText($file, $query)
  $lines = & $tool -b -I -h -1 -W -w 65535 @trust -d $database -i $file
  if ($LASTEXITCODE) {{ Complain "sqlcmd ended with ${{LASTEXITCODE}}: $lines" }}
}} finally {{ [IO.File]::Delete($file) }}
$lines
"""

_BODIES: dict[str, str] = {
    "packages": _PACKAGES,
    "services": _SERVICES,
    "files": _FILES,
    "environment": _ENVIRONMENT,
    "listening_ports": _PORTS,
    "sqlserver": _SQLSERVER,
}

COLLECTED = frozenset(_BODIES)
"""The ready-made facts that there are for Windows."""


def command(collect: str, told: Mapping[str, str]) -> str:
    """The command for PowerShell. `told`: what the fact says beside its kind (`path`, `database`)."""
    given = "".join(f"${key} = {quote(value)}\n" for key, value in told.items() if value)
    return given + _TOOLS + _BODIES[collect]
