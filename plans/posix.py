"""Decides how package steps, checks and probes are put to a host with /bin/sh: scripts for dash, busybox or bash."""

import shlex
from collections.abc import Iterable, Mapping

_UNZIP = """import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    for member in archive.infolist():
        path = archive.extract(member, sys.argv[2])
        if member.external_attr >> 16 & 0o111 and os.path.isfile(path): os.chmod(path, 0o755)
"""
_UNPACK = """set -eu
have=$(sha256sum < "$archive"); have=${have%% *}
[ "$have" = "$digest" ] || { echo "the archive here is $have, what was handed off is $digest" >&2; exit 3; }
rm -rf -- "$package" "$package.new"
mkdir -p -- "$package.new"
case $archive in *.zip)
  if command -v unzip >/dev/null 2>&1; then unzip -q "$archive" -d "$package.new"
  elif command -v python3 >/dev/null 2>&1; then python3 -c "$unzip" "$archive" "$package.new"
  else echo "neither unzip nor python3 here to unpack a zip with: install one, or hand off a tar.gz" >&2; exit 4; fi ;;
*) tar -xzof "$archive" -C "$package.new" ;;
esac
for path in $scripts; do chmod +x -- "$package.new/$path"; done
mv -- "$package.new" "$package"
"""

_PUT = """set -eu
from=$1 to=$2
shift 2
for file do
  target=$to${file#"$from"}
  new=$target.quarterdeck-new
  if [ -d "$target" ]; then echo "$target is a folder: to put a file into it, write $target/" >&2; exit 1; fi
  mkdir -p -- "${target%/*}/"
  rm -f -- "$new"
  cp -- "$file" "$new"
  a=$(sha256sum < "$file"); b=$(sha256sum < "$new")
  [ "$a" = "$b" ] || { echo "$target: what was written is not what was sent" >&2; exit 1; }
  if [ -x "$file" ]; then chmod +x -- "$new"; fi
  mv -f -- "$new" "$target"
  printf '%s\\n' "$target"
done
"""
_COPY = f"""set -eu
case $to in /*) ;; *) to=$HOME/$to ;; esac
if [ -d "$from" ]; then
  from=${{from%/}} to=${{to%/}}
  mkdir -p -- "$to/"
else
  case $to in */) to=$to${{from##*/}} ;; esac
fi
find "$from" -type f -exec /bin/sh -c {shlex.quote(_PUT)} sh "$from" "$to" {{}} +
"""

_PYTHON = """import sys, urllib.error, urllib.request
class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *about): return None
try:
    try: answer = urllib.request.build_opener(Stay).open(sys.argv[1], timeout=10)
    except urllib.error.HTTPError as refused: answer = refused
    with open(sys.argv[2], "wb") as file: file.write(answer.read(int(sys.argv[3])))
    print(answer.getcode())
except Exception as error: sys.exit(str(error))
"""
_HTTP = f"""answer=$(mktemp) || exit 126
trap 'rm -f "$answer" "$answer.told"' EXIT
if command -v curl >/dev/null 2>&1; then
  curl -q -gsS --max-time 10 -o "$answer" -w '%{{http_code}}\\n' -- "$url" || exit
elif command -v python3 >/dev/null 2>&1; then
  python3 -c {shlex.quote(_PYTHON)} "$url" "$answer" "$most" || exit
elif command -v wget >/dev/null 2>&1; then
  case $(wget --version 2>&1) in *GNU*) more='-t 1 --max-redirect=0 --content-on-error' ;; *) more= ;; esac
  wget -S -T 10 $more -O "$answer" -- "$url" 2>"$answer.told"; code=$?
  status=$(sed -n 's/.*HTTP\\/[0-9.]* \\([0-9][0-9][0-9]\\).*/\\1/p' "$answer.told" | head -n 1)
  if [ -z "$status" ]; then cat "$answer.told" >&2; exit "$code"; fi
  echo "$status"
else
  echo "no curl, python3 or wget here to ask with" >&2
  exit 127
fi
head -c "$most" "$answer"
"""

# What a tool says is judged by its words, because most have one exit code for all; a tool whose words nobody knows
# is followed by the next one. Each is bounded by itself.
_TRY = """export LC_ALL=C
with_nc() { nc -v -z -w 3 "$1" "$2"; }
with_bash() {
  timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" || { [ $? != 124 ] || echo timed out; false; }
}
with_python3() {
  python3 -c 'import socket, sys
try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close()
except OSError as error: sys.exit(str(error))' "$1" "$2"
}
with_curl() {
  case $1 in *:*) set -- "[$1]" "$2" ;; esac
  words=$(curl -v -s -o /dev/null --noproxy '*' --connect-timeout 3 --max-time 4 "http://$1:$2/" 2>&1) && return
  case $words in *onnected\\ to*|*stablished\\ connection*) return 0 ;; esac
  printf '%s\\n' "$words"
  false
}
try() {
  port=${1##*:} address=${1%:*}
  address=${address#[} address=${address%]}
  answer=unknown with=
  for tool in nc bash python3 curl; do
    command -v "$tool" >/dev/null 2>&1 || continue
    with=$tool
    if words=$("with_$tool" "$address" "$port" 2>&1 </dev/null); then answer=open; break; fi
    case $words in
      *[Uu]sage*|*option*) continue ;;
      *[Rr]efused*) answer=refused ;;
      *[Tt]imed\\ out*|*onnection\\ timeout*|*Timeout\\ was*|*TIMEOUT*|*nreachable*|*[Nn]o\\ route*) answer=silent ;;
      *resol*|*not\\ known*|*lookup*|*bad\\ address*|*o\\ address*) answer=unresolved ;;
      *) continue ;;
    esac
    break
  done
  printf '%s %s %s\\n' "$1" "$answer" "$with"
}
for target in $targets; do try "$target" & done
wait
"""


class Posix:
    """What `plans.languages.Language` wants, for any /bin/sh."""

    def starting(self, package: str, command: str) -> str:
        return command if package.startswith("/") else f"QUARTERDECK_PACKAGE=$PWD\n{command}"

    def script(self, path: str, arguments: Iterable[str]) -> str:
        return f"exec {shlex.join([f'./{path}', *arguments])}"

    def copy(self, source: str, to: str) -> str:
        return _assigned({"from": f"./{source}", "to": to}) + _COPY

    def unpack(self, archive: str, digest: str, package: str, executable: Iterable[str]) -> str:
        told = {"archive": archive, "digest": digest, "package": package, "unzip": _UNZIP}
        return _assigned(told) + _UNPACK.replace("$scripts", shlex.join(executable))

    def ask(self, url: str, most: int) -> str:
        return _assigned({"url": url, "most": str(most)}) + _HTTP

    def probe(self, targets: Iterable[str]) -> str:
        return _TRY.replace("$targets", shlex.join(targets))


def _assigned(told: Mapping[str, str]) -> str:
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in told.items())
