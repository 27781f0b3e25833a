"""Set what `machine_state` found wanting.

Argument: {"hostname": NAME or "", "sysctl": {KEY: VALUE}, "lock": [USER], "restart": [UNIT]}.
"""

import socket
import subprocess
from typing import Any


def main(argument: Any) -> None:
    if argument["hostname"]:
        socket.sethostname(argument["hostname"])
    for key, value in argument["sysctl"].items():
        with open("/proc/sys/" + key.replace(".", "/"), "w") as file:
            file.write(value)
    for account in argument["lock"]:
        subprocess.run(["usermod", "--lock", account], check=True)
    for unit in argument["restart"]:
        subprocess.run(["systemctl", "restart", unit], check=True)
