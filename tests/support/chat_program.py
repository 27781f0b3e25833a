"""`fedctl ARGV` with the gateways named in CHAT_PLACES in place of the inventory's.

`CHAT_PLACES` is `name=address:port,...`, `CHAT_CA` their authority; all else is the real program.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fedctl.app import App
from fedctl.chat_client import Client, Place
from fedctl.parts import Parts
from fedctl.program import run


def client(_: Sequence[Place], __: Path, key: str) -> Client:
    """The real client, of the gateways of the test."""
    places = []
    for text in os.environ["CHAT_PLACES"].split(","):
        name, _, where = text.partition("=")
        address, _, port = where.rpartition(":")
        places.append(Place(name, address, int(port)))
    return Client(places, Path(os.environ["CHAT_CA"]), key)


if __name__ == "__main__":
    argv = sys.argv[1:]
    sys.exit(run(argv, App(argv=tuple(argv), parts=Parts(chat=client))))
