"""The operator at Patroni and etcd of the data nodes: mutual TLS, each asked beside the others."""

import http.client
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fedctl.errors import NotHealthy
from fedctl.operator_tls import operator_context
from fedctl.remote import each
from fedctl.replication import Member, View
from inventory.home import Home
from inventory.model import Federation, Node, Role

LOOK_SECONDS = 4.0
# Patroni answers when the new leader leads, or when it gave up.
ACT_SECONDS = 90.0
GOOD_STATUS = 200


@dataclass(frozen=True)
class Replication:
    """How this operator reaches this federation's data nodes."""

    federation: Federation
    home: Home
    now: Callable[[], datetime]

    def look(self) -> View:
        """What every data node says now; what does not answer is in it as such."""
        nodes = self.federation.with_role(Role.DATA)
        context = operator_context(self.home, self.now())
        answers = each(nodes, lambda node: self._asked(node, context))
        clusters = [answer["cluster"] for answer in answers if answer["cluster"]]
        shared = {m["name"]: m for cluster in clusters for m in cluster["members"]}
        # A leader's own view is the newest.
        for cluster in clusters:
            if any(m.get("role") == "leader" for m in cluster["members"]):
                shared |= {m["name"]: m for m in cluster["members"]}
        config: dict[str, Any] = next(
            (answer["config"] for answer in answers if answer["config"]), {}
        )
        needed = config.get("synchronous_node_count", 1) if config.get("synchronous_mode") else 0
        members = tuple(
            _member(node.name, answer, shared.get(node.name, {}))
            for node, answer in zip(nodes, answers, strict=True)
        )
        synchronous = tuple(member.name for member in members if member.synchronous)
        return View(members, needed, synchronous)

    def switchover(self, leader: str, candidate: str) -> str:
        """Have `candidate` lead in place of `leader`; Patroni's words. Raises NotHealthy."""
        return self._act(leader, "/switchover", {"leader": leader, "candidate": candidate})

    def failover(self, candidate: str) -> str:
        """Have `candidate` lead whatever is lost; Patroni's words. Raises NotHealthy."""
        return self._act(candidate, "/failover", {"candidate": candidate})

    def _act(self, at: str, path: str, body: dict[str, str]) -> str:
        node = self.federation.node(at)
        try:
            status, text = self._request(
                node,
                self.federation.ports.patroni,
                "POST",
                path,
                operator_context(self.home, self.now()),
                body,
                ACT_SECONDS,
            )
        except (OSError, http.client.HTTPException) as error:
            raise NotHealthy(
                f"Patroni on {at} did not say how it ended: {error}", "fedctl ledger status"
            ) from error
        if status != GOOD_STATUS:
            raise NotHealthy(f"Patroni on {at} refused: {text.strip()}", "fedctl ledger status")
        return text.strip()

    def _asked(self, node: Node, context: ssl.SSLContext) -> dict[str, Any]:
        ports = self.federation.ports
        return {
            "patroni": self._json(node, ports.patroni, "/patroni", context),
            "cluster": self._json(node, ports.patroni, "/cluster", context),
            "config": self._json(node, ports.patroni, "/config", context),
            "etcd": self._json(node, ports.etcd_metrics, "/health", context),
        }

    def _json(self, node: Node, port: int, path: str, context: ssl.SSLContext) -> Any:
        try:
            _, text = self._request(node, port, "GET", path, context)
            return json.loads(text)
        except (OSError, ValueError, http.client.HTTPException):
            return None

    def _request(
        self,
        node: Node,
        port: int,
        method: str,
        path: str,
        context: ssl.SSLContext,
        body: dict[str, str] | None = None,
        seconds: float = LOOK_SECONDS,
    ) -> tuple[int, str]:
        connection = http.client.HTTPSConnection(
            str(node.address), port, timeout=seconds, context=context
        )
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()


def _member(name: str, answer: dict[str, Any], known: dict[str, Any]) -> Member:
    own = answer["patroni"] or {}
    answers = answer["patroni"] is not None
    return Member(
        name=name,
        answers=answers,
        role=known.get("role", ""),
        state=known.get("state", own.get("state", "")) if answers else "",
        timeline=own.get("timeline") or known.get("timeline"),
        lsn=_lsn(own.get("xlog") or {}),
        lag_bytes=_lag(known),
        etcd=str((answer["etcd"] or {}).get("health")).lower() == "true",
    )


def _lsn(xlog: dict[str, Any]) -> int | None:
    for name in ("location", "received_location", "replayed_location"):
        if isinstance(xlog.get(name), int) and xlog[name]:
            return int(xlog[name])
    return None


def _lag(known: dict[str, Any]) -> int | None:
    lag = known.get("receive_lag", known.get("lag"))
    return lag if isinstance(lag, int) else None
