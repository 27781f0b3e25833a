"""What a restore may end with.

RecoveryError
├── NoBackup         no backup ends before the wanted moment
├── NoSpace          the disk has no room for what would be restored
├── RestoreFailed    pgBackRest did not restore
├── ReplayFailed     the server did not replay up to the target, or did not start
│   └── OtherHistory   the backup was made in a history that an earlier restore left
├── InTheWay         a cluster is where one would be restored
└── ConsensusFailed  etcd could not be asked, or refused
"""


class RecoveryError(Exception):
    """Base of what this package raises on purpose."""


class NoBackup(RecoveryError):
    """Nothing to begin from."""


class NoSpace(RecoveryError):
    """Not enough room; nothing was begun."""


class RestoreFailed(RecoveryError):
    """pgBackRest's restore ended with an error."""


class ReplayFailed(RecoveryError):
    """The server ended before it was where it should be; the message has the end of its log."""


class OtherHistory(ReplayFailed):
    """An older backup is needed."""


class InTheWay(RecoveryError):
    """The folder is not empty."""


class ConsensusFailed(RecoveryError):
    """The data nodes' agreement could not be changed."""
