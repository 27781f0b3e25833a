"""The lock as nodes keep it: a POSIX shell script, so that it works on a bare machine.

Everything happens under flock(1) in a folder on tmpfs, which a power cut empties. A record appears
whole or not at all: it is written aside and linked into place, and link(2) refuses to replace.
The script goes to the shell's stdin (so that sudo does not log it at every heartbeat).
"""

FOLDER = "/run/federation-lock"

SCRIPT = r"""
set -u
folder=$1 verb=$2 token=$3 lease=${4:-0} head=${5:-} instead=${6:-}
umask 022
mkdir -p "$folder" || exit 70
exec 9>"$folder/guard" || exit 70
flock -w 5 9 || { echo "the lock folder is busy" >&2; exit 75; }
lock=$folder/lock.json
now=$(date +%s)
field() { sed -n "s/.*\"$1\": \([0-9][0-9]*\)[,}].*/\1/p" "$lock"; }
record() {
  rm -f "$folder/new" &&
  printf '%s, "acquired": %s, "expires": %s}\n' "$head" "$1" "$((now + lease))" >"$folder/new" ||
    exit 73
}
holder=
expires=0
if [ -e "$lock" ]; then
  holder=$(sed -n 's/^{"token": "\([A-Za-z0-9._-]*\)".*/\1/p' "$lock")
  expires=$(field expires)
  acquired=$(field acquired)
  [ -n "$holder" ] && [ "${expires:-0}" -gt "$now" ] || expires=0
fi
case $verb in
acquire)
  if [ "$(cat "$folder/left" 2>/dev/null)" = "$token" ]; then echo "lost $now"; exit 0; fi
  if [ "$expires" -gt 0 ] && [ "$holder" != "$token" ] && [ "$holder" != "$instead" ]; then
    echo "held $now"; cat "$lock"; exit 0
  fi
  word=granted old=
  if [ -n "$holder" ] && [ "$holder" != "$token" ]; then word=taken; old=$(cat "$lock"); fi
  record "$now"
  rm -f "$lock"
  ln "$folder/new" "$lock" || exit 73
  rm -f "$folder/new"
  echo "$word $now"; [ -z "$old" ] || printf '%s\n' "$old"
  ;;
renew)
  if [ "$holder" != "$token" ]; then
    echo "lost $now"; cat "$lock" 2>/dev/null; exit 0
  fi
  record "$acquired"
  mv -f "$folder/new" "$lock" || exit 73
  echo "granted $now"
  ;;
release | leave)
  if [ "$verb" = leave ]; then printf '%s\n' "$token" >"$folder/left" || exit 73; fi
  if [ -n "$holder" ] && [ "$holder" = "$token" ]; then
    rm -f "$lock" || exit 73
    echo "released $now"
  else
    echo "free $now"
  fi
  ;;
show)
  if [ "$expires" -gt 0 ]; then echo "held $now"; cat "$lock"; else echo "free $now"; fi
  ;;
*) echo "unknown verb" >&2; exit 64 ;;
esac
"""


def acquire(token: str, lease_seconds: int, head: str, instead: str = "") -> list[str]:
    """Argument list that asks for the lock; `instead` names a holder known to be dead."""
    return _argv("acquire", token, str(lease_seconds), head, instead)


def renew(token: str, lease_seconds: int, head: str) -> list[str]:
    """Argument list that moves the expiry of a lock this run holds."""
    return _argv("renew", token, str(lease_seconds), head)


def release(token: str) -> list[str]:
    """Argument list that frees the lock if `token` holds it."""
    return _argv("release", token)


def leave(token: str) -> list[str]:
    """Argument list that frees the lock if `token` holds it, and has the node refuse `token` from
    then on: an interrupted run's question may still be on its way, and come after this.
    """
    return _argv("leave", token)


def show() -> list[str]:
    """Argument list that reads the lock."""
    return _argv("show", "-")


def _argv(*arguments: str) -> list[str]:
    return ["sh", "-s", "--", FOLDER, *arguments]
