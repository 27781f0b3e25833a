"""Clients of the gateway as users have them: the official OpenAI package over TLS."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from openai import OpenAI

from inventory.model import Node
from tests.support.fleet import Fleet

TIMEOUT_SECONDS = 60


@contextmanager
def openai_client(fleet: Fleet, gateway: Node, key: str) -> Iterator[OpenAI]:
    """An OpenAI client that trusts the federation's authority and nothing else."""
    context = ssl.create_default_context(cafile=str(fleet.home.authority / "ca.pem"))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    url = f"https://{gateway.address}:{fleet.federation.ports.gateway}/v1"
    with httpx2.Client(verify=context, timeout=TIMEOUT_SECONDS, trust_env=False) as http:
        yield OpenAI(base_url=url, api_key=key, http_client=http, max_retries=0)
