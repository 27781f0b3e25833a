"""A node's certificate, authority and key as they are, in one round trip."""

from typing import Any

from pyinfra.api import FactBase, StringCommand

from deploys.script import NodeScript, decode


class CertificateState(FactBase[dict[str, Any]]):
    """What `deploys/remote/certificate_state.py` returns; never the key itself.

    ```
    {"certificate": "-----BEGIN ...", "authority": "", "key": "usable",
     "modes": {"/etc/federation/tls/node.pem": "0644 root:root"},
     "serving": ["federation-gateway.service"], "stale": []}
    ```
    """

    @staticmethod
    def default() -> dict[str, Any]:
        return {
            "certificate": "",
            "authority": "",
            "key": "missing",
            "modes": {},
            "serving": [],
            "stale": [],
        }

    def command(self, certificate: str, authority: str, key: str) -> StringCommand:
        argument = {"certificate": certificate, "authority": authority, "key": key}
        return NodeScript("certificate_state", argument, on_stdin=False)

    def process(self, output: list[str]) -> dict[str, Any]:
        state: dict[str, Any] = decode(output)
        return state
