"""What keeps a process's memory out of files, as far as the process itself can."""

import resource
from contextlib import suppress


def no_core_dumps() -> None:
    """Have the kernel write no core dump of this process, whatever kills it.

    Under systemd the unit forbids them (LimitCORE=0), and its sandbox may refuse that the process
    itself does. Whoever may read the memory of another process is not kept from it.
    """
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
