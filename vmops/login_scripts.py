"""Decides how a machine is asked who logged in on it: the records that it keeps by itself, as `plans.hands` reads them.

A line is a word and what it says: `clock` has the machine's clock, since when is asked, and where the connection that
asks came from; `wtmp`, `journal` and `logon` have a line of that record each, an empty one to say that it was read;
`nowtmp`, `nojournal` and `nologon` why it was not. PowerShell's was never run.
"""

MOST = 3000
"""The latest records, or lines, that are looked at."""

# A log that does not show the login that asks does not show all: root may be shown more of it.
SH = f"""export LC_ALL=C
now=$(date +%s)
since=$((now - ago))
echo "clock $now $since ${{SSH_CONNECTION-}}"
if ! command -v utmpdump >/dev/null; then echo 'nowtmp there is no utmpdump (of util-linux) here'
elif said=$(TZ=UTC0 utmpdump /var/log/wtmp 2>&1); then printf '%s\\n' "$said" | tail -n {MOST} | sed 's/^/wtmp /'
else echo "nowtmp $(printf '%s\\n' "$said" | tail -n 1)"
fi
if ! command -v journalctl >/dev/null; then echo 'nojournal there is no journalctl here'; exit 0; fi
journal() {{
  "$@" journalctl -q --no-pager -o short-unix --since "@$((since - 86400))" -t sshd -t sshd-session -t login 2>&1 |
    grep -E ': (Accepted |(ROOT )?LOGIN ON )' | tail -n {MOST}
}}
own=${{SSH_CONNECTION-}} own=${{own#* }} own=${{own%% *}}
lines=$(journal command)
case $lines in
*" port $own "*) ;;
*) if command -v sudo >/dev/null; then lines=$(journal sudo -n); fi ;;
esac
printf '%s\\n' "$lines" | sed 's/^/journal /'
"""

# Those are no persons: the window manager and the font driver (S-1-5-90, S-1-5-96), and VMware Tools for a guest
# operation, which vCenter's events tell of.
POWERSHELL = rf"""$now = [DateTimeOffset]::UtcNow.ToUnixTimeSeconds()
$since = $now - $ago
"clock $now $since"
$from = [DateTimeOffset]::FromUnixTimeSeconds($since).LocalDateTime
$all = @()
# Without a single logon it complains, in the words of whichever language.
try {{
  $all = @(Get-WinEvent -FilterHashtable @{{LogName = 'Security'; Id = 4624; StartTime = $from}} -MaxEvents {MOST})
  'logon'
}} catch {{
  if ($_.FullyQualifiedErrorId -like 'NoMatchingEventsFound*') {{ 'logon' }}
  else {{ "nologon $($_.Exception.Message)" }}
}}
if ($all.Count -eq {MOST}) {{ 'nologon there are too many logons to look at all' }}
foreach ($one in $all) {{
  $told = @{{}}
  foreach ($item in ([xml]$one.ToXml()).Event.EventData.Data) {{ $told[$item.Name] = $item.'#text' }}
  if ($told.LogonType -notin '2', '7', '10' -or $told.TargetUserSid -match '^S-1-5-9[06]-') {{ continue }}
  if ($told.ProcessName -match '\\(vmtoolsd|VGAuthService)\.exe$') {{ continue }}
  $user = "$($told.TargetDomainName)\$($told.TargetUserName)" -replace '\s', '_'
  "logon $(([DateTimeOffset]$one.TimeCreated).ToUnixTimeSeconds()) $($told.LogonType) $user $($told.IpAddress)"
}}
"""
