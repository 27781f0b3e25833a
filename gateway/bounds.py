"""What requests are held to, copied out of the settings: each look into those is a search."""

from gateway.relay_settings import Limits, Timeouts


class Bounds:
    """The timeouts and sizes that requests and answers meet. Other settings make another one."""

    __slots__ = (
        "body_read_seconds",
        "client_write_seconds",
        "header_read_seconds",
        "keep_alive_seconds",
        "max_answer_bytes",
        "max_body_bytes",
        "max_header_bytes",
        "upstream_connect_seconds",
        "upstream_first_byte_seconds",
        "upstream_total_seconds",
    )

    def __init__(self, timeouts: Timeouts, limits: Limits) -> None:
        self.header_read_seconds = timeouts.header_read_seconds
        self.body_read_seconds = timeouts.body_read_seconds
        self.client_write_seconds = timeouts.client_write_seconds
        self.keep_alive_seconds = float(timeouts.keep_alive_seconds)
        self.upstream_connect_seconds = timeouts.upstream_connect_seconds
        self.upstream_first_byte_seconds = timeouts.upstream_first_byte_seconds
        self.upstream_total_seconds = timeouts.upstream_total_seconds
        self.max_header_bytes = limits.max_header_bytes
        self.max_body_bytes = limits.max_body_bytes
        self.max_answer_bytes = limits.max_answer_bytes
