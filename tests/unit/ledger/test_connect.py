"""The connection string: verified, TLS 1.3, and nothing a caller could weaken."""

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import ValidationError

from ledger.connect import Settings

FIELDS = {
    "hosts": ("db.test.internal",),
    "user": "fed_gateway",
    "sslcert": Path("/c"),
    "sslkey": Path("/k"),
    "sslrootcert": Path("/r"),
    "application_name": "gateway on 'anode'",
}


def conninfo(**changes: object) -> dict[str, object]:
    return dict(conninfo_to_dict(Settings.model_validate(FIELDS | changes).conninfo()))


def test_the_server_is_verified_over_tls_1_3() -> None:
    found = conninfo()
    assert found["sslmode"] == "verify-full"
    assert found["ssl_min_protocol_version"] == "TLSv1.3"
    assert found["gssencmode"] == "disable"
    assert found["target_session_attrs"] == "read-write"
    assert found["application_name"] == "gateway on 'anode'"
    assert "hostaddr" not in found
    assert "options" not in found


def test_addresses_go_along_with_their_names() -> None:
    found = conninfo(hosts=("a.x", "b.x"), addresses=("10.0.0.1", "10.0.0.2"))
    assert (found["host"], found["hostaddr"]) == ("a.x,b.x", "10.0.0.1,10.0.0.2")


def test_timeouts_are_whole_units_rounded_up() -> None:
    found = conninfo(connect_timeout_seconds=0.2, statement_timeout_seconds=1.5)
    assert found["connect_timeout"] == "2"
    assert found["options"] == "-c statement_timeout=1500"


@pytest.mark.parametrize(
    "changes",
    [
        {"hosts": ()},
        {"addresses": ("10.0.0.1", "10.0.0.2")},
        {"sslmode": "disable"},
        {"password": "x"},
        {"port": 0},
        {"connect_timeout_seconds": 0},
    ],
)
def test_it_refuses(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(FIELDS | changes)
