"""Decides what a Windows machine is told, in PowerShell 5.1 and later: the scripts of `vmops.languages` for it.

A job is a directory, `<base>\\jobs\\<run>\\<name>`: `pid` (its supervisor's id and start, and the claim that makes it
start only once), `boot`, `run.ps1` (the command), `out`, `err`, `exit`, and `stopped` where somebody ended it. WMI
starts the supervisor, so that it belongs to no session. Nothing of this was ever run: its tests only read it.
"""

import base64
from collections.abc import Sequence

from plans.windows import quote
from vmops import login_scripts
from vmops.scripts import LOOKS, Spec, run_of
from vmops.transport import TICK

POWERSHELL_EXE = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe"

_OPTIONS = "-NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass"

# What is relative is relative to the login directory, as over any other way in.
_LIBRARY = """$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
function Resolve-Full([string]$path) {
  if ([IO.Path]::IsPathRooted($path)) { $path } else { [IO.Path]::GetFullPath([IO.Path]::Combine($HOME, $path)) }
}
function boot_id { (Get-CimInstance Win32_Process -Filter 'ProcessId = 4').CreationDate.ToUniversalTime().Ticks }
function Write-Bytes($to, [string]$text) {
  $bytes = (New-Object Text.UTF8Encoding $false).GetBytes($text)
  $to.Write($bytes, 0, $bytes.Length)
  $to.Flush()
}
function Write-File([string]$path, [string]$text, [bool]$mark = $false) {
  [IO.File]::WriteAllText($path, $text, (New-Object Text.UTF8Encoding $mark))
}
function Read-Text([string]$path) { if ([IO.File]::Exists($path)) { [IO.File]::ReadAllText($path).Trim() } else { '' } }
$out = [Console]::OpenStandardOutput()
$err = [Console]::OpenStandardError()
"""

# Reading must not keep the job from writing.
_FOLLOW = f"""function Test-Alive {{
  $id, $begun = $script:claim -split ' '
  $found = Get-Process -Id $id -ErrorAction SilentlyContinue
  [bool]($found -and $found.StartTime.Ticks -eq [long]$begun)
}}
function Get-Size([string]$name) {{ (New-Object IO.FileInfo (Join-Path $d $name)).Length }}
function Copy-Piece([string]$name, [long]$at, $to) {{
  $file = [IO.File]::Open((Join-Path $d $name), 'Open', 'Read', 'ReadWrite, Delete')
  try {{
    [void]$file.Seek($at, 'Begin')
    $buffer = New-Object byte[] 65536
    $left = [long]$piece
    while ($left -gt 0 -and ($got = $file.Read($buffer, 0, [Math]::Min($left, $buffer.Length))) -gt 0) {{
      $to.Write($buffer, 0, $got)
      $left -= $got
    }}
    $to.Flush()
  }} finally {{ $file.Close() }}
}}
$boot = boot_id
$starter = $null
if (-not (Test-Path -LiteralPath "$d\\pid")) {{
  if ($known) {{
    Write-Bytes $out $token
    Write-Bytes $err "$($token)$($token)lost`n"
    exit 0
  }}
  [void][IO.Directory]::CreateDirectory($d)
  foreach ($name in 'out', 'err') {{ [IO.File]::Open("$d\\$name", 'OpenOrCreate', 'Write', 'ReadWrite').Close() }}
  Write-File "$d\\run.ps1" $run $true
  $given = @{{ CommandLine = $supervisor; CurrentDirectory = $d }}
  $starter = Invoke-CimMethod -ClassName Win32_Process -MethodName Create -Arguments $given
  if ($starter.ReturnValue -ne 0) {{ throw "WMI did not start a process: error $($starter.ReturnValue)" }}
}}
Write-Bytes $out $token
Write-Bytes $err $token
$end = ''
$news = $false
for ($look = 0; -not $end; $look++) {{
  $script:claim = Read-Text "$d\\pid"
  $end = Read-Text "$d\\exit"
  if (-not $end) {{
    $running = if ($script:claim) {{ Test-Alive }} else {{
      $starter -and (Get-Process -Id $starter.ProcessId -ErrorAction SilentlyContinue)
    }}
    if (-not $running) {{
      $script:claim = Read-Text "$d\\pid"
      $end = Read-Text "$d\\exit"
      if (-not $end -and -not $script:claim) {{ $end = 'unstarted' }}
      elseif (-not $end) {{ $end = if ((Read-Text "$d\\boot") -eq "$boot") {{ 'gone' }} else {{ 'rebooted' }} }}
    }} elseif ($news -or $look -ge {LOOKS}) {{ $end = 'on' }}
  }}
  $news = (Get-Size out) -gt $outAt -or (Get-Size err) -gt $errAt
  if (-not $end) {{ Start-Sleep -Milliseconds {TICK * 1000:.0f} }}
}}
Copy-Piece out $outAt $out
Copy-Piece err $errAt $err
if ((Get-Size out) -gt $outAt + $piece -or (Get-Size err) -gt $errAt + $piece) {{ $end = 'on' }}
if ($end -ne 'on' -and (Test-Path -LiteralPath "$d\\stopped")) {{ $end = "$end stopped" }}
Write-Bytes $err "$token$end`n"
"""

# cmd.exe redirects byte for byte, which PowerShell does not. The claim is a file that only one process can create.
_SUPERVISE = f"""$ErrorActionPreference = 'Stop'
$d = (Get-Location).ProviderPath
$me = Get-Process -Id $PID
try {{ $file = [IO.File]::Open("$d\\pid", 'CreateNew', 'Write', 'Read') }} catch {{ exit }}
$text = [Text.Encoding]::ASCII.GetBytes("$PID $($me.StartTime.Ticks)")
$file.Write($text, 0, $text.Length)
$file.Close()
$boot = (Get-CimInstance Win32_Process -Filter 'ProcessId = 4').CreationDate.ToUniversalTime().Ticks
[IO.File]::WriteAllText("$d\\boot", "$boot")
& cmd.exe /d /c 'powershell.exe {_OPTIONS} -File run.ps1 >>out 2>>err <nul'
$code = if (Test-Path -LiteralPath "$d\\nowhere") {{ 'nowhere' }} else {{ "$LASTEXITCODE" }}
[IO.File]::WriteAllText("$d\\exit.new", $code)
[IO.File]::Move("$d\\exit.new", "$d\\exit")
"""

# The exit code of a script is that of what it did last, as a shell's is.
_RUN = """try { [Console]::OutputEncoding = New-Object Text.UTF8Encoding $false } catch { }
%(env)stry { Set-Location -LiteralPath %(cwd)s -ErrorAction Stop } catch {
  [Console]::Error.WriteLine($_)
  [IO.File]::WriteAllText((Join-Path $PSScriptRoot 'nowhere'), '')
  exit 1
}
%(command)s
if ($?) { exit 0 } elseif ($LASTEXITCODE) { exit $LASTEXITCODE } else { exit 1 }
"""

# Windows asks no process to end; what a job started is found by who started whom, also below one that has ended
# meanwhile as long as this has seen it.
_STOP = """function Get-Members {
  $all = @(Get-CimInstance Win32_Process)
  $grown = $true
  while ($grown) {
    $grown = $false
    foreach ($one in $all) {
      $above = $family[[string]$one.ParentProcessId]
      $key = [string]$one.ProcessId
      if ($above -and $one.CreationDate -ge $above -and $family[$key] -ne $one.CreationDate) {
        $family[$key] = $one.CreationDate
        $grown = $true
      }
    }
  }
  @($all | Where-Object { $family[[string]$_.ProcessId] -eq $_.CreationDate } | ForEach-Object { $_.ProcessId })
}
function Close-Answer([string]$said) {
  Write-Bytes $err "$token$said`n"
  exit 0
}
Write-Bytes $out $token
Write-Bytes $err $token
[void][IO.Directory]::CreateDirectory($d)
try {
  [IO.File]::Open("$d\\pid", 'CreateNew', 'Write', 'Read').Close()
  foreach ($name in 'out', 'err') { [IO.File]::Open("$d\\$name", 'OpenOrCreate', 'Write', 'ReadWrite').Close() }
  Write-File "$d\\stopped" ''
  Write-File "$d\\exit" 'unstarted'
} catch [IO.IOException] { }
if (Read-Text "$d\\exit") { Close-Answer 'ended' }
for ($n = 0; $n -lt 250 -and -not (Read-Text "$d\\boot"); $n++) { Start-Sleep -Milliseconds 20 }
if ((Read-Text "$d\\boot") -ne "$(boot_id)") { Close-Answer 'ended' }
Write-File "$d\\stopped" ''
$id, $begun = (Read-Text "$d\\pid") -split ' '
$first = Get-CimInstance Win32_Process -Filter "ProcessId = $id"
$family = @{}
$same = Get-Process -Id $id -ErrorAction SilentlyContinue
if ($first -and $same -and $same.StartTime.Ticks -eq [long]$begun) { $family[[string]$id] = $first.CreationDate }
for ($n = 0; $n -lt 150; $n++) {
  $found = Get-Members
  if ($found.Count -eq 0 -and $quiet) { Close-Answer 'ended' }
  $quiet = $found.Count -eq 0
  $found | ForEach-Object { Stop-Process -Id $_ -Force -ErrorAction SilentlyContinue }
  Start-Sleep -Milliseconds 100
}
Close-Answer "left $($found -join ' ')"
"""

_ASKING = """Write-Bytes $out $token
Write-Bytes $err $token
$code = 0
try {
  Write-Bytes $out ((& {
%(command)s
  } | Out-String -Width 4096))
} catch {
  Write-Bytes $err "$_"
  $code = 1
}
Write-Bytes $err "$token$code`n"
"""

_DIGEST = "(Get-FileHash -Algorithm SHA256 -LiteralPath %s).Hash.ToLowerInvariant()"


class PowerShell:
    """The language of Windows machines. `piece`: the bytes of each of a job's outputs that a script brings at most."""

    restart = f"{_LIBRARY}boot_id\nRestart-Computer -Force\n"
    clock = "[DateTimeOffset]::UtcNow.ToUnixTimeSeconds()"

    def __init__(self, piece: int) -> None:
        self._piece = piece

    def follow(self, spec: Spec, token: str, out_at: int, err_at: int) -> str:
        env = "".join(f"$env:{name} = {quote(value)}\n" for name, value in spec.env.items())
        cwd = "$HOME" if spec.cwd is None else f"([IO.Path]::Combine($HOME, {quote(spec.cwd)}))"
        told = {
            "token": quote(token),
            "run": quote(_RUN % {"env": env, "cwd": cwd, "command": spec.command}),
            "supervisor": quote(command_line(_SUPERVISE)),
            "outAt": f"[long]{out_at}",
            "errAt": f"[long]{err_at}",
            "piece": f"[long]{self._piece}",
            "known": "$true" if spec.known else "$false",
        }
        return _whole(_folder(spec) + "".join(f"${name} = {value}\n" for name, value in told.items()) + _FOLLOW)

    def stop(self, spec: Spec, token: str) -> str:
        return _whole(f"{_folder(spec)}$token = {quote(token)}\n{_STOP}")

    def asking(self, command: str, token: str) -> str:
        return _whole(f"$token = {quote(token)}\n" + _ASKING % {"command": command})

    def logins(self, ago: int) -> str:
        return f"$ago = {ago}\n{login_scripts.POWERSHELL}"

    def digest(self, path: str) -> str:
        return _DIGEST % f"(Resolve-Full {quote(path)})"

    def place(self, to: str, digest: str) -> str:
        return (
            f"$to = Resolve-Full {quote(to)}\n"
            f"if ([IO.File]::Exists($to) -and {_DIGEST % '$to'} -eq {quote(digest)}) {{ 'same' }}\n"
            "else { [void][IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($to)) }"
        )

    def take(self, beside: str, to: str, digest: str) -> str:
        return (
            f"$beside = Resolve-Full {quote(beside)}\n$to = Resolve-Full {quote(to)}\n$is = {_DIGEST % '$beside'}\n"
            f"if ($is -eq {quote(digest)}) {{ Move-Item -LiteralPath $beside -Destination $to -Force }}\n"
            "else { Remove-Item -LiteralPath $beside -Force; $is }"
        )


POWERSHELL = PowerShell(8 << 20)

RECEIVE = "& ([ScriptBlock]::Create([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String(-join @($input)))))"
"""A short script that runs the one which comes in, in base64: what comes in is text, in nobody knows which encoding."""


def writing(path: str) -> str:
    """A short script that makes a file of what comes in, lines of base64."""
    return (
        f"{_LIBRARY}$file = [IO.File]::Create((Resolve-Full {quote(path)}))\n"
        "$put = { $got = [Convert]::FromBase64String($_); $file.Write($got, 0, $got.Length) }\n"
        "try { $input | ForEach-Object $put }\n"
        "finally { $file.Close() }\n"
    )


def reading(path: str) -> str:
    """A short script that gives out the bytes of a file."""
    return (
        f"{_LIBRARY}$file = [IO.File]::OpenRead((Resolve-Full {quote(path)}))\n"
        "try { $file.CopyTo($out) } finally { $file.Close() }\n"
    )


def answering(folder: str, name: str, done: Sequence[str]) -> str:
    """A short script that runs `<name>.ps1` of a folder and leaves its answer there, as `vmops.guest` reads it.

    `done` are the names of answers that have been read.
    """
    words = ", ".join(quote(f"{each}.*") for each in [*done, name])
    return f"""Set-Location -LiteralPath {quote(folder)}
$d = [IO.Path]::Combine({quote(folder)}, {quote(name)})
& cmd.exe /d /c 'powershell.exe {_OPTIONS} -File {name}.ps1 >{name}.out 2>{name}.err <nul'
$head = [Text.Encoding]::ASCII.GetBytes("$LASTEXITCODE $((New-Object IO.FileInfo "$d.out").Length)`n")
if (Test-Path -LiteralPath "$d.ps1") {{
  $new = [IO.File]::Create("$d.new")
  $new.Write($head, 0, $head.Length)
  foreach ($one in 'out', 'err') {{ $file = [IO.File]::OpenRead("$d.$one"); $file.CopyTo($new); $file.Close() }}
  $new.Close()
  [IO.File]::Move("$d.new", "$d.answer")
}}
Remove-Item -Path {words} -Exclude '{name}.answer' -ErrorAction SilentlyContinue
"""


def arguments(script: str) -> str:
    """What makes PowerShell run a short script, and no shell on the way can read anything into."""
    return f"{_OPTIONS} -EncodedCommand {base64.b64encode(script.encode('utf-16-le')).decode()}"


def command_line(script: str) -> str:
    """The same as a command for any shell of Windows."""
    return f"{POWERSHELL_EXE} {arguments(script)}"


def _folder(spec: Spec) -> str:
    parts = ", ".join(quote(part) for part in ("jobs", run_of(spec.name), spec.name))
    return f"$d = [IO.Path]::Combine((Resolve-Full {quote(spec.base)}), {parts})\n"


def _whole(body: str) -> str:
    """The script that runs only if all of it arrived: half a block is none."""
    return f"& {{\n{_LIBRARY}{body}}}\n"
