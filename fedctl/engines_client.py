"""The operator at the private ports of the gateways: mutual TLS, each asked beside the others."""

import http.client
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from fedctl.engines import View, engine_in
from fedctl.operator_tls import operator_context
from fedctl.remote import each
from inventory.home import Home
from inventory.model import Federation, Node, Role

LOOK_SECONDS = 4.0


@dataclass(frozen=True)
class Gateways:
    """How this operator reaches this federation's gateways."""

    federation: Federation
    home: Home
    now: Callable[[], datetime]

    def look(self) -> tuple[View, ...]:
        """Every gateway's view of its engines; one that does not answer says why."""
        context = operator_context(self.home, self.now())
        nodes = self.federation.with_role(Role.GATEWAY)
        return tuple(each(nodes, lambda node: self._view(node, context)))

    def _view(self, node: Node, context: ssl.SSLContext) -> View:
        port = self.federation.ports.gateway_metrics
        try:
            return look_at(node.name, str(node.address), port, context)
        except (OSError, http.client.HTTPException) as error:
            return View(node.name, error=str(error) or type(error).__name__)
        except (ValueError, KeyError, TypeError) as error:
            return View(node.name, error=f"an answer that is none ({type(error).__name__})")


def look_at(name: str, address: str, port: int, context: ssl.SSLContext) -> View:
    """What one gateway says; raises OSError, HTTPException, ValueError, KeyError, TypeError."""
    connection = http.client.HTTPSConnection(address, port, timeout=LOOK_SECONDS, context=context)
    try:
        connection.request("GET", "/upstreams")
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != http.client.OK:
        return View(name, error=f"its private port answered {answer.status}")
    return View(name, tuple(engine_in(value) for value in json.loads(body)["upstreams"]))
