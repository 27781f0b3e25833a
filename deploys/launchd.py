"""Launch daemons as macOS wants them: property lists, built with plistlib, checked, deterministic.

Pure. Keys are those of launchd.plist(5).
"""

import plistlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deploys.errors import TemplateError

FOLDER = "/Library/LaunchDaemons"
LABEL = re.compile(r"^[a-z0-9]+(\.[a-z0-9-]+)+$")


@dataclass(frozen=True)
class LaunchDaemon:
    """A job of the system's launchd, run as `user`. `loads`: files a change of which restarts it.

    Without a time of day it runs all the time and is restarted when it ends; with one (hour,
    minute; local time, as launchd has no other) it runs daily, after waking up if it was asleep.
    """

    label: str
    arguments: tuple[str, ...]
    user: str
    log: str
    loads: tuple[str, ...] = ()
    daily_at: tuple[int, int] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where its property list goes."""
        return f"{FOLDER}/{self.label}.plist"


def plist(daemon: LaunchDaemon) -> bytes:
    """The daemon's property list (XML); raises TemplateError for what launchd would not take."""
    if not LABEL.match(daemon.label):
        raise TemplateError(f"launchd label {daemon.label!r}: want reverse domain name")
    if not daemon.arguments or not daemon.arguments[0].startswith("/"):
        raise TemplateError(f"{daemon.label}: the program must be an absolute path")
    keys: dict[str, object] = {
        "Label": daemon.label,
        "ProgramArguments": list(daemon.arguments),
        "UserName": daemon.user,
        "StandardOutPath": daemon.log,
        "StandardErrorPath": daemon.log,
        # Octal 077: what it writes is its own.
        "Umask": 0o077,
        "ProcessType": "Background",
    }
    if daemon.environment:
        keys["EnvironmentVariables"] = dict(daemon.environment)
    if daemon.daily_at is None:
        keys |= {"RunAtLoad": True, "KeepAlive": True, "ThrottleInterval": 10}
    else:
        hour, minute = daemon.daily_at
        keys |= {"RunAtLoad": False, "StartCalendarInterval": {"Hour": hour, "Minute": minute}}
    return plistlib.dumps(keys, fmt=plistlib.FMT_XML, sort_keys=True)


def labels(daemons: Sequence[LaunchDaemon]) -> list[str]:
    """Their labels, in order."""
    return [daemon.label for daemon in daemons]
