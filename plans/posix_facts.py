"""Decides how a ready-made fact is asked of a Unix host: a command for sh whose output is the same lines every time."""

import shlex
from collections.abc import Mapping

from plans.schema_facts import MYSQL, POSTGRESQL, SQLITE, SQLSERVER

_TOOLS = """set -eu
complain() { echo "$1"; echo "$1" >&2; exit 69; }
has() { command -v "$1" >/dev/null 2>&1; }
"""
"""What is missing is said on standard error for the log, and on standard output for the run's own words."""

_AS_ROOT = """if [ "$(id -u)" = 0 ]; then root=
elif has sudo && sudo -n /bin/sh -c : 2>/dev/null; then root='sudo -n'
else complain "only root can read all of this: log in as root, or let $(id -un) use sudo without a password"; fi
exec $root /bin/sh -c """

_PACKAGES = r"""if has dpkg-query; then
  all=$(dpkg-query -W -f '${db:Status-Status} ${Package} ${Version} ${Architecture}\n')
  all=$(printf '%s\n' "$all" | sed -n 's/^installed //p')
elif has rpm; then
  all=$(rpm -qa --qf '%{NAME} %{EPOCHNUM}:%{VERSION}-%{RELEASE} %{ARCH}\n')
else complain "neither dpkg-query nor rpm is here to list the packages with"; fi
[ -n "$all" ] || complain "no package is installed here, says the package manager"
printf '%s\n' "$all" | sort
"""

# What only a timer or a client starts comes and goes: of the running ones, those count that are started at boot.
_SERVICES = r"""has systemctl || complain "systemctl is not here to list the services with"
files=$(systemctl list-unit-files --type=service,timer,socket --no-legend --no-pager --full)
units=$(systemctl list-units --type=service --state=running --no-legend --no-pager --full --plain)
{ printf '%s\n' "$files"; echo ==; printf '%s\n' "$units"; } | awk '
  $0 == "==" { running = 1; next }
  !NF { next }
  !running { state[$1] = $2; if ($2 != "transient") print $1, $2; next }
  { file = $1; sub(/@.*\.service$/, "@.service", file) }
  state[file] ~ /^(enabled|generated)/ { print $1, "running" }
' | sort
"""

_FILES = r"""has sha256sum || complain "sha256sum is not here to tell the files by"
case $path in -*) path=./$path ;; esac
[ -e "$path" ] || complain "there is no $path"
files=$(find -H "$path" -type f -exec sha256sum -- {} +)
links=$(find -H "$path" -type l -exec /bin/sh -c 'for l do printf "%s -> %s\n" "$l" "$(readlink "$l")"; done' sh {} +)
runs=$(find -H "$path" -type f -perm -100 -print)
{
  printf '%s\n' "$files" | sed 's/^\(\\\{0,1\}[0-9a-f]\{64\}\)  \(.*\)$/\2 \1/'
  printf '%s\n' "$links"
  printf '%s\n' "$runs" | sed '/./s/$/ is executable/'
} | sed '/^$/d' | sort
"""

# Four digits tell that a value is another, and too little to guess it by.
_DIGESTS = r"""has sha256sum || complain "sha256sum is not here to tell the values by"
digest() {
  if [ -n "$2" ]; then told=$(printf '%s' "$2" | sha256sum); else told=empt; fi
  printf '%s %.4s\n' "$1" "$told" | sed 's/ empt$/ is empty/'
}
"""

# A line of a value may look like a variable: it is none where nothing has that name.
_ENVIRONMENT = rf"""{_DIGESTS}env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p' | LC_ALL=C sort -u |
while IFS= read -r name; do
  case $name in
    _|OLDPWD|PWD|SHLVL|SSH_*|TERM|XDG_*|INVOCATION_ID|JOURNAL_STREAM|DBUS_SESSION_BUS_ADDRESS) ;;
    *) ! value=$(printenv "$name") || digest "$name" "$value" ;;
  esac
done
"""

_ENVIRONMENT_FILE = rf"""{_DIGESTS}[ -r "$path" ] || complain "$path is not there, or cannot be read"
sed -n 's/^[[:space:]]*\(export[[:space:]]\{{1,\}}\)\{{0,1\}}\([A-Za-z_][A-Za-z0-9_.]*\)[[:space:]]*=/\2=/p' < "$path" |
while IFS= read -r line; do digest "${{line%%=*}}" "${{line#*=}}"; done | sort
"""

_LINES = r"""lines() {
  for file do
    [ -f "$file" ] || continue
    cat < "$file" >/dev/null
    sed -e '/^#include/b' -e '/^#[0-9]/b' -e '/^[[:space:]]*#/d' -e '/^[[:space:]]*$/d' < "$file" |
      while IFS= read -r line; do printf '%s: %s\n' "$file" "$line"; done
  done
}
"""

_CRONTABS = rf"""{_LINES}{{
  lines /etc/crontab /etc/anacrontab /etc/cron.d/* /var/spool/cron/crontabs/* /var/spool/cron/*
  for file in /etc/cron.hourly/* /etc/cron.daily/* /etc/cron.weekly/* /etc/cron.monthly/*; do
    [ ! -f "$file" ] || echo "$file"
  done
}} | sort
"""

_SUDOERS = f"{_LINES}lines /etc/sudoers /etc/sudoers.d/* | sort\n"

# Of the key itself the line's digest tells enough; options, kind and comment stay to be read.
_AUTHORIZED_KEYS = r"""people=$(getent passwd 2>/dev/null || cat /etc/passwd)
printf '%s\n' "$people" | while IFS=: read -r name _ _ _ _ home _; do
  for file in "$home/.ssh/authorized_keys" "$home/.ssh/authorized_keys2"; do
    [ -f "$file" ] || continue
    sed -e '/^[[:space:]]*#/d' -e '/^[[:space:]]*$/d' < "$file" | while IFS= read -r line; do
      told=$(printf '%s' "$line" | sha256sum)
      short=$(printf '%s' "$line" | sed 's/AAAA[A-Za-z0-9+\/=]\{20,\}/.../')
      printf '%s: %s (%.16s)\n' "$name" "$short" "$told"
    done
  done
done | sort -u
"""

# One form for all three sources. Where a service listens is told by kind: two hosts have two addresses. UDP ports from
# 32768 on are clients' own.
_PORTS = r"""read_kernel() {
  for protocol in tcp tcp6 udp udp6; do
    [ ! -r "/proc/net/$protocol" ] || sed "s/^/$protocol /" "/proc/net/$protocol"
  done | awk '
    function number(hex,  i, n) {
      for (i = 1; i <= length(hex); i++) n = n * 16 + index("0123456789ABCDEF", substr(hex, i, 1)) - 1
      return n
    }
    ($1 ~ /^tcp/ && $5 == "0A") || ($1 ~ /^udp/ && $5 == "07") {
      split($3, part, ":")
      where = part[1]
      if (where ~ /^0+$/) where = "*"
      else if (where ~ /7F$/ && (length(where) == 8 || where ~ /^0+FFFF0000/)) where = "127.0.0.1"
      else if (where == "00000000000000000000000001000000") where = "::1"
      print substr($1, 1, 3), where ":" number(part[2])
    }'
}
if has ss; then all=$(ss -H -l -n -t -u)
  all=$(printf '%s\n' "$all" | awk '{ print $1, $5 }')
elif has netstat; then all=$(netstat -l -n -t -u)
  all=$(printf '%s\n' "$all" | awk '/^(tcp|udp)/ { print substr($1, 1, 3), $4 }')
elif [ -r /proc/net/tcp ]; then all=$(read_kernel)
else complain "neither ss nor netstat nor /proc/net/tcp is here to list the ports with"; fi
printf '%s\n' "$all" | awk 'NF {
  port = $2; sub(/.*:/, "", port)
  where = $2; sub(/:[^:]*$/, "", where); sub(/%.*/, "", where); gsub(/[][]/, "", where); sub(/^::ffff:/, "", where)
  if ($1 == "udp" && port + 0 >= 32768) next
  kind = where ~ /^(\*|0\.0\.0\.0|::)$/ ? "everywhere" : where ~ /^(127\..*|::1)$/ ? "loopback" : "one address"
  print $1, port, kind
}' | sort -u
"""

_SYSTEM = r"""[ -r /etc/os-release ] || complain "there is no /etc/os-release"
grep -E '^(ID|VERSION_ID|PRETTY_NAME)=' /etc/os-release | sort
echo "kernel $(uname -sr)"
echo "machine $(uname -m)"
"""

_HARDWARE = r"""[ -r /proc/meminfo ] || complain "there is no /proc/meminfo"
echo "processors $(getconf _NPROCESSORS_ONLN)"
awk '/^(MemTotal|SwapTotal):/ { printf "%s %.1f GiB\n", substr($1, 1, length($1) - 1), $2 / 1048576 }' /proc/meminfo
disks=$(df -P -k -l -x tmpfs -x devtmpfs -x squashfs)
printf '%s\n' "$disks" | awk 'NR > 1 { printf "disk %s %.1f GiB\n", $6, $2 / 1048576 }' | sort -u
"""

_CLOCK = r"""echo "time zone $(readlink /etc/localtime 2>/dev/null | sed 's/.*zoneinfo\///' || :) $(date +%z)"
if has timedatectl && told=$(timedatectl 2>/dev/null); then
  printf '%s\n' "$told" | sed -n 's/.*synchronized: */synchronized /p'
elif has chronyc && told=$(chronyc -n tracking 2>/dev/null); then
  case $told in *'Normal'*) echo "synchronized yes" ;; *) echo "synchronized no" ;; esac
else complain "neither timedatectl nor chronyc answers, to tell whether the clock is set by others"; fi
"""

_PLAIN: dict[str, str] = {
    "packages": _PACKAGES,
    "services": _SERVICES,
    "files": _FILES,
    "listening_ports": _PORTS,
    "system": _SYSTEM,
    "hardware": _HARDWARE,
    "clock": _CLOCK,
    "sqlite": SQLITE,
    "postgresql": POSTGRESQL,
    "mysql": MYSQL,
    "sqlserver": SQLSERVER,
}
_ROOTS: dict[str, str] = {"crontabs": _CRONTABS, "authorized_keys": _AUTHORIZED_KEYS, "sudoers": _SUDOERS}
_SORTED = "LC_ALL=C; export LC_ALL\n"


def command(collect: str, told: Mapping[str, str]) -> str:
    """The command for sh. `told`: what the fact says beside its kind (`path`, `database`, `user`)."""
    names = "".join(f"{key}={shlex.quote(value)}\n" for key, value in told.items())
    if collect in _ROOTS:
        return _TOOLS + _AS_ROOT + shlex.quote(_TOOLS + _SORTED + _ROOTS[collect]) + "\n"
    if collect == "environment":
        return names + _TOOLS + (_SORTED + _ENVIRONMENT_FILE if told.get("path") else _ENVIRONMENT)
    return names + _TOOLS + _SORTED + _PLAIN[collect]
