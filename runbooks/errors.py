"""What can go wrong in a runbook.

RunbookError
└── ObservationUnreadable   a node answered, but not with what its probe prints
"""


class RunbookError(Exception):
    """Base of everything this package raises on purpose."""


class ObservationUnreadable(RunbookError):
    """A node answered, but not with what its probe prints."""
