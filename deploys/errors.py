"""What can go wrong while deploying.

DeployError
├── BuildMissing          there is no built release (or engine) to install
├── TemplateError         a template is missing, or uses a value it was not given
└── NodeError             one node could not be managed; carries a `FailureKind`
    ├── Unreachable       no SSH session: down, silent, refused, or another host key
    ├── ConnectionLost    the session died while it was in use
    └── OperationFailed   a command on the node failed

Interrupted (a BaseException) is beside the tree: SIGINT or SIGTERM arrived, anywhere.
"""

from enum import StrEnum


class FailureKind(StrEnum):
    """Why a node has failed; `fedctl` words its advice by it."""

    DOWN = "down"
    TIMEOUT = "timeout"
    WRONG_KEY = "wrong key"
    OWN_KEY = "own key unusable"
    HOST_KEY_CHANGED = "host key changed"
    HOST_KEY_UNKNOWN = "host key unknown"
    LOST = "connection lost"
    OPERATION = "operation failed"
    ROLLED_BACK = "rolled back"
    ROLLBACK_FAILED = "rollback failed"
    WORKER_DIED = "worker died"
    DEFECT = "defect"


UNREACHABLE = frozenset(
    {
        FailureKind.DOWN,
        FailureKind.TIMEOUT,
        FailureKind.WRONG_KEY,
        FailureKind.OWN_KEY,
        FailureKind.HOST_KEY_CHANGED,
        FailureKind.HOST_KEY_UNKNOWN,
        FailureKind.LOST,
    }
)


class DeployError(Exception):
    """Base of everything this package raises on purpose."""


class BuildMissing(DeployError):
    """There is no built release (or engine) to install; the message says how to build one."""


class TemplateError(DeployError):
    """A template is missing, or uses a value it was not given."""


class NodeError(DeployError):
    """One node could not be managed."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class Unreachable(NodeError):
    """No SSH session with the node."""


class ConnectionLost(NodeError):
    """The session died while it was in use (the node's power, its network, its sshd)."""

    def __init__(self, message: str) -> None:
        super().__init__(FailureKind.LOST, message)


class OperationFailed(NodeError):
    """A command on the node failed; the message ends with what it printed."""

    def __init__(self, message: str) -> None:
        super().__init__(FailureKind.OPERATION, message)


class Interrupted(BaseException):
    """SIGINT or SIGTERM arrived: stop now, leaving nothing half written.

    No Exception, as KeyboardInterrupt is none: it can arrive inside anybody's code, and pyinfra,
    paramiko and inspect all swallow exceptions at times.
    """
