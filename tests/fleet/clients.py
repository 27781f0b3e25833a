"""Clients of the gateway as users have them: the official OpenAI package over TLS."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx2
from openai import OpenAI

from deploys.authority import operator_pair
from inventory.model import Node
from tests.support.fleet import Fleet
from trust.tls import client_context

TIMEOUT_SECONDS = 60


@contextmanager
def openai_client(fleet: Fleet, gateway: Node, key: str) -> Iterator[OpenAI]:
    """An OpenAI client that trusts the federation's authority and nothing else."""
    url = f"https://{gateway.address}:{fleet.federation.ports.gateway}/v1"
    with stranger_client(fleet) as http:
        yield OpenAI(base_url=url, api_key=key, http_client=http, max_retries=0)


def stranger_client(fleet: Fleet) -> httpx2.Client:
    """An HTTPS client that trusts the federation's authority and shows no certificate."""
    context = client_context(fleet.home.authority / "ca.pem")
    return httpx2.Client(verify=context, timeout=TIMEOUT_SECONDS, trust_env=False)


def operator_client(fleet: Fleet) -> httpx2.Client:
    """An HTTPS client that shows the operator's certificate."""
    key, certificate = operator_pair(fleet.home, datetime.now(UTC))
    context = client_context(fleet.home.authority / "ca.pem", certificate, key)
    return httpx2.Client(verify=context, timeout=TIMEOUT_SECONDS, trust_env=False)
