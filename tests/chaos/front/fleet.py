"""The lab as clients of the gateways see it: the ledger's cluster, two gateways, the engine."""

import json
import re
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import httpx2
import psycopg

from deploys.authority import operator_pair
from inventory.model import Node, Role
from tests.chaos.cluster import Cluster
from tests.chaos.front.decide import Recorded
from trust.tls import client_context

GATEWAY, ENGINE = "federation-gateway.service", "federation-inference.service"
ANSWER_SECONDS = 10
UNSHIPPED, AGE, TAKES = "unshipped_records", "age_seconds", "takes_requests"
EVENTS = """
SELECT convert_from(body, 'UTF8') FROM ledger.log
WHERE seq >= %s AND kind IN ('request.started', 'request.finished') ORDER BY seq
"""
ROWS = "SELECT id::text, outcome FROM ledger.requests WHERE started_at >= %s"


@dataclass(frozen=True)
class Fronts(Cluster):
    """A lab whose gateways are broken, too."""

    @property
    def gateways(self) -> tuple[Node, ...]:
        """The gateways' nodes, in inventory order."""
        return self.federation.with_role(Role.GATEWAY)

    @property
    def engine(self) -> Node:
        """The node of the one engine."""
        return self.federation.with_role(Role.INFERENCE)[0]

    def gateway(self, number: int) -> Node:
        """Each in turn: the one that round `number` is about."""
        return self.gateways[number % len(self.gateways)]

    def url(self, node: Node) -> str:
        """Where a gateway answers clients."""
        return f"https://{node.address}:{self.federation.ports.gateway}"

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """With the operator's certificate."""
        key, certificate = operator_pair(self.home, datetime.now(UTC))
        return client_context(self.home.authority / "ca.pem", certificate, key)

    def burst(self, gateway: Node, count: int) -> None:
        """Ask for one word so many times; whether there was an answer does not matter."""
        key, model = self.issue("burst"), self.federation.inference.served_model_name
        question = {"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "?"}]}
        url, shown = f"{self.url(gateway)}/v1/chat/completions", {"Authorization": f"Bearer {key}"}

        def ask(_: int) -> None:
            with httpx2.Client(verify=self._tls, timeout=ANSWER_SECONDS, trust_env=False) as http:
                http.post(url, headers=shown, json=question)

        with ThreadPoolExecutor(8) as pool:
            for _ in pool.map(ask, range(count)):
                pass

    def _get(self, url: str) -> str:
        """What a page says; raises httpx2.HTTPError."""
        with httpx2.Client(verify=self._tls, timeout=ANSWER_SECONDS, trust_env=False) as http:
            return http.get(url).text

    def issue(self, name: str, *options: str) -> str:
        """A new key."""
        key: str = json.loads(self.fedctl("--json", "keys", "issue", name, *options))["key"]
        return key

    def whole(self) -> str:
        """See Cluster.whole; and every gateway has all it needs."""
        return super().whole() or next(filter(None, map(self.lacking, self.gateways)), "")

    def lacking(self, gateway: Node) -> str:
        """Empty when each component of a gateway is up."""
        try:
            answer = json.loads(self._get(f"{self.url(gateway)}/health"))
            parts: dict[str, dict[str, Any]] = answer["components"]
        except (httpx2.HTTPError, ValueError, KeyError) as error:
            return f"{gateway.name}'s gateway: {type(error).__name__}"
        down = [name for name, part in parts.items() if part["status"] != "up"]
        return f"{gateway.name}'s gateway: {', '.join(down)} not up" if down else ""

    def spool(self, gateway: Node, what: str) -> float:
        """What a gateway's metric `gateway_spool_<what>` says; NaN without an answer."""
        port = self.federation.ports.gateway_metrics
        try:
            text = self._get(f"https://{gateway.address}:{port}/metrics")
        except httpx2.HTTPError:
            return float("nan")
        found = re.search(rf"^gateway_spool_{what} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else float("nan")

    def shipped(self) -> str:
        """Empty when every spool is empty."""
        for gateway in self.gateways:
            if (left := self.spool(gateway, UNSHIPPED)) != 0:
                return f"{gateway.name}'s spool has {left} records"
        return ""


def recorded(cluster: Cluster, run: str, base: int, since: datetime) -> tuple[Recorded, ...]:
    """What the log from number `base` on has of the requests of a run.

    AssertionError when the table that usage is read from says something else.
    """
    with psycopg.connect(cluster.settings.conninfo()) as connection:
        events = [json.loads(row[0]) for row in connection.execute(EVENTS, (base,))]
        rows = {str(row[0]): row[1] for row in connection.execute(ROWS, (since,))}
    ends: dict[str, list[str]] = {}
    for event in events:
        if event["kind"] == "request.finished":
            ends.setdefault(event["subject"], []).append(event["data"]["outcome"])
    found = []
    for event in events:
        if event["kind"] != "request.started":
            continue
        name = event["data"]["request_id"]
        if not name.startswith(f"{run}-"):
            continue
        outcomes = tuple(ends.get(event["id"], ()))
        assert rows.get(event["id"]) in outcomes or not outcomes, (name, outcomes)
        found.append(Recorded(name, datetime.fromisoformat(event["time"]).timestamp(), outcomes))
    return tuple(found)
