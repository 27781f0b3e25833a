"""What can go wrong with the lab.

LabError
├── LabUnavailable        this machine cannot run a lab; lists everything missing and the remedy
├── NotALab               the inventory describes a site: labs are made and destroyed at will
├── NotOurs               an address range, bridge or table is in use by something else
├── LabBusy               another process is changing this lab; names it
├── LabNoSpace            too little room for what is about to be written
├── RootfsFailed          the root file system could not be made; names the log
├── BootFailed            a node did not start or did not answer in time; names its console log
├── NodeNotRunning        the command needs a running node
├── StillThere            something of ours did not go away when asked and then killed
└── CommandFailed         a system command the lab relies on failed; says what it printed
"""

from collections.abc import Sequence


class LabError(Exception):
    """Base of everything this package raises on purpose."""


class LabUnavailable(LabError):
    """This machine cannot run a lab; `missing` has one line a finding, `remedy` what to type."""

    def __init__(self, missing: Sequence[str], remedy: str) -> None:
        self.missing = tuple(missing)
        self.remedy = remedy
        lines = "\n".join(f"  {line}" for line in missing)
        super().__init__(f"this machine cannot run a lab:\n{lines}\nwhat to do: {remedy}")


class NotALab(LabError):
    """The inventory's kind is not `lab`."""


class NotOurs(LabError):
    """Something with our name or address range exists and does not carry our mark."""


class LabBusy(LabError):
    """Another process holds the lab's lock."""


class LabNoSpace(LabError):
    """A file system the lab writes to is too full."""


class RootfsFailed(LabError):
    """Making the root file system failed."""


class BootFailed(LabError):
    """At least one node is not up; `nodes` names them."""

    def __init__(self, nodes: Sequence[str], text: str) -> None:
        self.nodes = tuple(nodes)
        super().__init__(text)


class NodeNotRunning(LabError):
    """The node is not running."""


class StillThere(LabError):
    """A process, mount or interface of ours survived its removal."""


class CommandFailed(LabError):
    """A system command failed; keeps its argument list, exit status and what it printed."""

    def __init__(self, argv: Sequence[str], returncode: int, output: str) -> None:
        self.argv = tuple(argv)
        self.returncode = returncode
        self.output = output.strip()
        super().__init__(f"{' '.join(argv)} failed ({returncode}): {self.output[-2000:]}")
