"""What goes wrong with the local record of requests.

SpoolError
├── SpoolTaken              another process has the folder
├── SpoolFull               no room for one more request and its end
└── SpoolFailed             the disk did not take the write
"""

from gateway.errors import GatewayError


class SpoolError(GatewayError):
    """Base of what goes wrong with the local record of requests."""


class SpoolTaken(SpoolError):
    """Another process writes to this folder."""


class SpoolFull(SpoolError):
    """There is no room for one more request and its end."""


class SpoolFailed(SpoolError):
    """A write did not become durable."""
