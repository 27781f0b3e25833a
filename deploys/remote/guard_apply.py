"""Change files that could cut the operator off, with the way back armed first.

Argument: {"name", "files": [{path, mode, owner, group, content (base64)}], "check", "apply",
"undo", "seconds"}. In order: save what is there, write the undo script and arm a timer (and a unit
for the next boot) that runs it, write the files, run `check`; if that refuses, undo at once; run
`apply`. A new connection must then run guard_confirm within `seconds`.

A guard that is still armed from an interrupted run keeps the state it saved: that was the last one
anybody confirmed.
"""

import base64
import grp
import os
import pwd
import shlex
import shutil
import subprocess
from typing import Any

FOLDER = "/var/lib/federation/guard"
UNITS = "/etc/systemd/system"


def main(argument: Any) -> None:
    name, folder = argument["name"], os.path.join(FOLDER, argument["name"])
    undo = os.path.join(folder, "undo.sh")
    decided = decision(folder)
    if decided == "undo" and os.path.exists(undo):
        finish_undo(name, undo)
    # What was kept is the old state now, though its confirmation was cut short before it tidied up.
    if decided == "keep" or not os.path.exists(undo):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder, mode=0o700)
        text = undo_script(name, folder, argument)
        write(undo, text.encode(), 0o700, 0, 0)
    remove(os.path.join(folder, "applied"))
    arm(name, undo, argument["seconds"])
    for item in argument["files"]:
        user, group = pwd.getpwnam(item["owner"]).pw_uid, grp.getgrnam(item["group"]).gr_gid
        write(item["path"], base64.b64decode(item["content"]), item["mode"], user, group)
    for step in ("check", "apply"):
        done = subprocess.run(
            ["sh", "-c", argument[step]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            undone = subprocess.run(
                ["sh", undo], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            said = done.stdout.decode(errors="replace").strip()
            end = "the old state is back"
            if not well(folder):
                problem = undone.stdout.decode(errors="replace").strip()
                end = f"and the old state could not be put back ({problem})"
            raise SystemExit(f"refused, {end}: {argument[step]}: {said}")
    write(os.path.join(folder, "applied"), b"", 0o600, 0, 0)


def decision(folder: str) -> str:
    """What was decided about an earlier change: "undo", "keep", or nothing yet."""
    try:
        return os.readlink(os.path.join(folder, "decided"))
    except OSError:
        return ""


def well(folder: str) -> bool:
    try:
        with open(os.path.join(folder, "undone")) as file:
            return file.read().strip() == "0"
    except OSError:
        return False


def finish_undo(name: str, undo: str) -> None:
    """An undo that is under way or failed comes to its end before anything new is tried."""
    service = f"federation-rollback-{name}.service"
    active = ["systemctl", "is-active", "--quiet", service]
    if subprocess.run(active, check=False).returncode != 0:
        subprocess.run(["sh", undo], check=False, stdout=subprocess.DEVNULL)
    if os.path.exists(undo):
        raise SystemExit(f"an earlier undo of {name} has not ended: see {undo}")


def undo_script(name: str, folder: str, argument: Any) -> str:
    """Plain sh, for a person to read; saves the old files beside it as it is composed."""
    lines = []
    os.mkdir(os.path.join(folder, "old"), 0o700)
    for number, item in enumerate(argument["files"]):
        path, saved = item["path"], os.path.join(folder, "old", str(number))
        place, beside = shlex.quote(path), shlex.quote(path + ".federation-undo")
        if os.path.exists(path):
            shutil.copy2(path, saved)
            found = os.stat(path)
            os.chown(saved, found.st_uid, found.st_gid)
            # On a full disk there is no room beside it: then in its place.
            whole = f"{{ cp -p old/{number} {beside} && mv -f {beside} {place}; }}"
            lines.append(f"{whole} || cp -p old/{number} {place} || failed=1")
        else:
            lines.append(f"rm -f {place} || failed=1")
    restore = "\n".join(lines)
    return f"""#!/bin/sh
# Puts back what the federation operator's change "{name}" replaced, unless a new connection
# confirmed it in time. Run by the timer federation-rollback-{name}, or by the next boot.
cd {shlex.quote(folder)} || exit 1
# Whoever makes this link first decides: this script, or the confirmation ("keep").
ln -s undo decided 2>/dev/null
[ "$(readlink decided)" = undo ] || exit 0
failed=0
{restore}
# While a file could not be put back, this script stays: the next boot, or deploy, tries again.
[ $failed = 0 ] || {{ echo $failed > undone; exit 1; }}
{argument["undo"]}
echo $? > undone
rm -f {UNITS}/multi-user.target.wants/{boot_unit(name)} {UNITS}/{boot_unit(name)}
systemctl stop --no-block federation-rollback-{name}.timer
rm -f undo.sh
"""


def boot_unit(name: str) -> str:
    return f"federation-rollback-{name}-boot.service"


def arm(name: str, undo: str, seconds: int) -> None:
    unit = f"federation-rollback-{name}"
    text = f"""[Unit]
Description=Undo the unconfirmed change {name} after a power cut
ConditionPathExists={undo}
DefaultDependencies=no
After=local-fs.target
Before=network-pre.target nftables.service ssh.service

[Service]
Type=oneshot
ExecStart=/bin/sh {undo}

[Install]
WantedBy=multi-user.target
"""
    write(os.path.join(UNITS, boot_unit(name)), text.encode(), 0o644, 0, 0)
    wanted = os.path.join(UNITS, "multi-user.target.wants", boot_unit(name))
    os.makedirs(os.path.dirname(wanted), exist_ok=True)
    remove(wanted)
    os.symlink(os.path.join(UNITS, boot_unit(name)), wanted)
    for verb in ("stop", "reset-failed"):
        command = ["systemctl", verb, f"{unit}.timer", f"{unit}.service"]
        subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
    subprocess.run(
        ["systemd-run", "--quiet", f"--unit={unit}", f"--on-active={seconds}",
         "--timer-property=AccuracySec=200ms", "/bin/sh", undo],
        check=True,
    )  # fmt: skip


def write(path: str, content: bytes, mode: int, user: int, group: int) -> None:
    temporary = path + ".federation-new"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fchown(file.fileno(), user, group)
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    os.rename(temporary, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def remove(path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)
