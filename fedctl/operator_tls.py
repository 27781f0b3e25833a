"""How `fedctl` proves who it is to machines that want a certificate of the federation."""

import ssl
from datetime import datetime

from deploys.authority import client_pair
from fedctl.ledger_client import OPERATOR
from inventory.home import Home
from trust.tls import client_context


def operator_context(home: Home, now: datetime) -> ssl.SSLContext:
    """Trusts the federation's authority only, and shows the operator's certificate.

    Raises AuthorityMissing before the first deploy, StoreError.
    """
    key, certificate = client_pair(home, OPERATOR, now)
    return client_context(home.authority / "ca.pem", certificate, key)
