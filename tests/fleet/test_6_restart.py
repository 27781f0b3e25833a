"""Gateways that restart under load: nobody's request fails, though no client tries twice."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from openai import OpenAI

from inventory.model import Node, Role
from tests.fleet.clients import openai_client
from tests.fleet.test_1_first_run import complete, stream
from tests.support.fleet import Fleet

RESTARTS = 1
Call = Callable[[OpenAI, str], int]


def served(fleet: Fleet, gateway: Node, key: str, call: Call, stop: Event, *, fresh: bool) -> int:
    """How many calls were answered until `stop`; each over a new connection when `fresh`."""
    model, answered = fleet.federation.inference.served_model_name, 0
    while not stop.is_set():
        with openai_client(fleet, gateway, key) as client:
            while not stop.is_set():
                assert call(client, model) > 0
                answered += 1
                if fresh:
                    break
    return answered


@pytest.mark.parametrize("number", [0, 1], ids=["first", "second"])
def test_a_restart_fails_nobody(fleet: Fleet, number: int) -> None:
    gateway, stop = fleet.one(Role.GATEWAY, number), Event()
    key: str = fleet.json("keys", "issue", f"restart-{number}")["key"]
    with ThreadPoolExecutor(4) as pool:
        clients = [
            pool.submit(served, fleet, gateway, key, call, stop, fresh=fresh)
            for call in (complete, stream)
            for fresh in (True, False)
        ]
        try:
            for _ in range(RESTARTS):
                stop.wait(2.0)
                fleet.shell(gateway, "systemctl restart federation-gateway")
            stop.wait(2.0)
        finally:
            stop.set()
    assert all(client.result() >= RESTARTS for client in clients)
