"""Start Patroni and let systemd be its watchdog: run by federation-patroni.service.

Patroni feeds a watchdog while it leads, so that a leader that hangs is stopped before its lease
ends and another node may lead. It knows only the kernel's /dev/watchdog, which resets the whole
machine and which containers do not have. Here systemd is the watchdog: it kills this process, and
with it (KillMode=mixed) PostgreSQL, when the lease was not renewed in time. Only while leading: a
standby that hangs does no harm.
"""

import os
import socket
import sys
import types

NOTIFY_SOCKET = os.environ.get("NOTIFY_SOCKET", "")


def notify(message: str) -> None:
    """Send one sd_notify message; nothing happens outside systemd."""
    if not NOTIFY_SOCKET:
        return
    place = "\0" + NOTIFY_SOCKET[1:] if NOTIFY_SOCKET.startswith("@") else NOTIFY_SOCKET
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(place)
        client.sendall(message.encode())


def main() -> None:
    """Give Patroni our watchdog and its word to systemd, then be Patroni."""
    # Patroni reports its start and its reloads through this module when there is one.
    systemd = types.ModuleType("systemd")
    systemd.daemon = types.SimpleNamespace(notify=notify)  # type: ignore[attr-defined]
    sys.modules["systemd"] = systemd

    from patroni.watchdog import base  # type: ignore[import-not-found]

    class SystemdWatchdog(base.WatchdogBase):  # type: ignore[misc]
        """systemd's watchdog of this very unit."""

        running = False
        seconds = 60

        @property
        def is_running(self) -> bool:
            return self.running

        @property
        def is_healthy(self) -> bool:
            return bool(NOTIFY_SOCKET)

        def open(self) -> None:
            if not NOTIFY_SOCKET:
                raise base.WatchdogError("not started by systemd")
            self.running = True

        def close(self) -> None:
            # Nothing is watched with a limit of 0.
            notify("WATCHDOG_USEC=0")
            self.running = False

        def keepalive(self) -> None:
            notify("WATCHDOG=1")

        def get_timeout(self) -> int:
            return self.seconds

        def has_set_timeout(self) -> bool:
            return True

        def set_timeout(self, timeout: int) -> None:
            self.seconds = timeout
            notify(f"WATCHDOG_USEC={timeout * 1_000_000}\nWATCHDOG=1")

        def describe(self) -> str:
            return "systemd"

    base.WatchdogConfig.get_impl = lambda _self: SystemdWatchdog()

    from patroni.__main__ import main as patroni  # type: ignore[import-not-found]

    # PostgreSQL, started from here, must not speak for the service.
    os.environ.pop("NOTIFY_SOCKET", None)
    patroni()


# Patroni starts the server from a process that imports this file under another name.
if __name__ == "__main__":
    main()
