"""Decides how package steps, checks and probes are put to a Windows host: scripts for PowerShell 5.1, which it has.

Nothing of this was ever run: its tests read it.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

# What goes wrong is one line on standard error, not a page about where in the script.
_BEGIN = """$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
trap { [Console]::Error.WriteLine("$_"); exit 1 }
"""

_UNPACK = """$archive = [IO.Path]::Combine($HOME, $archive)
$package = [IO.Path]::Combine($HOME, $package)
$have = (Get-FileHash -Algorithm SHA256 -LiteralPath $archive).Hash.ToLowerInvariant()
if ($have -ne $digest) {
  [Console]::Error.WriteLine("the archive here is $have, what was handed off is $digest")
  exit 3
}
foreach ($old in $package, "$package.new") {
  if ([IO.Directory]::Exists($old)) { Remove-Item -LiteralPath $old -Recurse -Force }
}
[void][IO.Directory]::CreateDirectory("$package.new")
if ($archive.EndsWith('.zip')) {
  Expand-Archive -LiteralPath $archive -DestinationPath "$package.new"
} else {
  $tar = [IO.Path]::Combine([Environment]::SystemDirectory, 'tar.exe')
  if (-not [IO.File]::Exists($tar)) {
    [Console]::Error.WriteLine("no $tar here, which Windows has since 10 and Server 2019: hand off a zip")
    exit 4
  }
  & $tar -xzf $archive -C "$package.new"
  if ($LASTEXITCODE) { exit 1 }
}
[IO.Directory]::Move("$package.new", $package)
exit 0
"""

# A file that is there is replaced in one step, and keeps who may read it.
_COPY = r"""function Get-Digest([string]$path) { (Get-FileHash -Algorithm SHA256 -LiteralPath $path).Hash }
function Copy-Checked([string]$file, [string]$target) {
  if ([IO.Directory]::Exists($target)) { throw "$target is a folder: to put a file into it, write $target/" }
  [void][IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($target))
  $new = "$target.quarterdeck-new"
  [IO.File]::Delete($new)
  [IO.File]::Copy($file, $new)
  if ((Get-Digest $file) -ne (Get-Digest $new)) { throw "${target}: what was written is not what was sent" }
  if ([IO.File]::Exists($target)) { [IO.File]::Replace($new, $target, [NullString]::Value) }
  else { [IO.File]::Move($new, $target) }
  $target
}
$from = [IO.Path]::GetFullPath([IO.Path]::Combine((Get-Location).ProviderPath, $from)).TrimEnd('\')
$to = [IO.Path]::Combine($HOME, $to)
if ([IO.Directory]::Exists($from)) {
  $to = [IO.Path]::GetFullPath($to)
  [void][IO.Directory]::CreateDirectory($to)
  foreach ($file in [IO.Directory]::GetFiles($from, '*', 'AllDirectories')) {
    Copy-Checked $file ([IO.Path]::Combine($to, $file.Substring($from.Length + 1)))
  }
} else {
  if ($to -match '[\\/]$') { $to = [IO.Path]::Combine($to, [IO.Path]::GetFileName($from)) }
  Copy-Checked $from ([IO.Path]::GetFullPath($to))
}
exit 0
"""

# Invoke-WebRequest makes an error of a redirect that it is not to follow, and of each status from 400 on. What .NET
# took for granted when PowerShell 5.1 was made is not enough for servers of today.
_ASK = """$protocols = [Net.ServicePointManager]::SecurityProtocol
if ([int]$protocols) { [Net.ServicePointManager]::SecurityProtocol = $protocols -bor [Net.SecurityProtocolType]::Tls12 }
$request = [Net.WebRequest]::Create($url)
$request.AllowAutoRedirect = $false
$request.Timeout = 10000
$request.ReadWriteTimeout = 10000
try { $answer = $request.GetResponse() } catch {
  $why = $_.Exception
  while ($why -and $why -isnot [Net.WebException]) { $why = $why.InnerException }
  if (-not $why -or -not $why.Response) { throw }
  $answer = $why.Response
}
$body = New-Object byte[] ([int]$most)
$stream = $answer.GetResponseStream()
$size = 0
while (($got = $stream.Read($body, $size, $body.Length - $size)) -gt 0) { $size += $got }
$out = [Console]::OpenStandardOutput()
$status = [Text.Encoding]::ASCII.GetBytes("$([int]$answer.StatusCode)`n")
$out.Write($status, 0, $status.Length)
$out.Write($body, 0, $size)
$out.Flush()
exit 0
"""

# All are begun before the first is waited for. The exception says by a name what other tools say in many words.
_TRY = """$tries = foreach ($target in $targets) {
  $try = @{Target = $target; Answer = 'unknown'}
  $port = [int]($target -split ':')[-1]
  $name = $target.Substring(0, $target.LastIndexOf(':')).Trim('[', ']')
  try {
    $address = [Net.Dns]::GetHostAddresses($name)[0]
    $try.Client = New-Object Net.Sockets.TcpClient($address.AddressFamily)
    $try.Task = $try.Client.ConnectAsync($address, $port)
  } catch { $try.Answer = 'unresolved' }
  $try
}
$until = [DateTime]::UtcNow.AddSeconds(3)
foreach ($try in $tries) {
  if ($try.Task) {
    $left = [Math]::Max(0, [int]($until - [DateTime]::UtcNow).TotalMilliseconds)
    try { $try.Answer = if ($try.Task.Wait($left)) { 'open' } else { 'silent' } } catch {
      switch ([string]$_.Exception.GetBaseException().SocketErrorCode) {
        'ConnectionRefused' { $try.Answer = 'refused' }
        { $_ -in 'TimedOut', 'HostUnreachable', 'NetworkUnreachable' } { $try.Answer = 'silent' }
      }
    }
    $try.Client.Close()
  }
  "$($try.Target) $($try.Answer) powershell"
}
exit 0
"""

_QUOTES = re.compile("(['\u2018\u2019\u201a\u201b])")
"""All of these begin and end a single-quoted string; doubled, each stands for itself."""


class Windows:
    """What `plans.languages.Language` wants, for PowerShell. Of scripts it runs its own: .ps1."""

    def starting(self, package: str, command: str) -> str:
        return f"$env:QUARTERDECK_PACKAGE = (Get-Location).ProviderPath\n{command}"

    def script(self, path: str, arguments: Iterable[str]) -> str:
        if PurePosixPath(path).suffix.lower() != ".ps1":
            told = f"{path}: on a host with shell: powershell a script is a .ps1; what else there is, run: starts"
            return f"[Console]::Error.WriteLine({quote(told)})\nexit 1"
        return " ".join(("&", quote(f"./{path}"), *map(quote, arguments)))

    def copy(self, source: str, to: str) -> str:
        return _script({"from": source, "to": to}, _COPY)

    def unpack(self, archive: str, digest: str, package: str, executable: Iterable[str]) -> str:
        return _script({"archive": archive, "digest": digest, "package": package}, _UNPACK)

    def ask(self, url: str, most: int) -> str:
        return _script({"url": url, "most": str(most)}, _ASK)

    def probe(self, targets: Iterable[str]) -> str:
        listed = ", ".join(map(quote, targets))
        return f"{_BEGIN}$targets = @({listed})\n{_TRY}"


def quote(text: str) -> str:
    """The text as PowerShell takes it literally."""
    doubled = _QUOTES.sub(r"\1\1", text)
    return f"'{doubled}'"


def _script(told: Mapping[str, str], body: str) -> str:
    return _BEGIN + "".join(f"${name} = {quote(value)}\n" for name, value in told.items()) + body
