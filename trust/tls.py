"""TLS as the federation speaks it: version 1.3, our own authority, nothing else trusted."""

import ssl
from pathlib import Path


def server_context(
    certificate: Path, key: Path, client_authority: Path | None = None
) -> ssl.SSLContext:
    """For listening. With `client_authority`, only clients with a certificate of it get in.

    Raises OSError or ssl.SSLError when a file is missing, unreadable or no pair.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    # No resumption: every connection proves anew that its certificates are still good.
    context.num_tickets = 0
    if client_authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_authority)
    return context


def client_context(
    authority: Path, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """For calling: the server's name and chain are verified; our certificate shown when asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(authority)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context
