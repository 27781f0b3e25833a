"""The gateway's configuration file: a small one suffices, and wrong ones are refused."""

from typing import Any

import pytest

from gateway.settings import GatewaySettings
from inventory.config import ConfigInvalid

SMALLEST: dict[str, Any] = {
    "node": "node-a",
    "listen": {"addresses": ["127.0.0.1"]},
    "metrics": {"addresses": ["127.0.0.1"]},
    "ledger": {"hosts": ["db.example.internal"]},
    "upstreams": [{"name": "engine-a", "url": "https://engine-a:8000"}],
}


def test_a_small_file_suffices() -> None:
    settings = GatewaySettings.parse(SMALLEST)
    assert settings.listen.port == 8443
    assert str(settings.tls.key_path) == "$CREDENTIALS_DIRECTORY/tls.key"
    assert settings.limits.max_body_bytes == 1 << 20
    assert settings.hedging == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"upstreams": []}, "at least 1 item"),
        ({"upstreams": [{"name": "a", "url": "http://10.0.0.1:8000"}]}, "loopback only"),
        ({"upstreams": [{"name": "a", "url": "https://a:8000/v1"}]}, "must be a root"),
        ({"upstreams": [{"name": "a", "url": "https://u:p@a:8000"}]}, "must be a root"),
        ({"upstreams": [{"name": "a", "url": "ftp://a"}]}, "https://HOST:PORT"),
        ({"upstreams": [{"name": "a b", "url": "https://a"}]}, "pattern"),
        ({"upstreams": [{"name": "a", "url": "https://a"}] * 2}, "two upstreams"),
        ({"ledger": {"hosts": ["db"], "pool_min_connections": 9}}, "must not exceed"),
        ({"ledger": {"hosts": []}}, "at least 1 item"),
        ({"ledger": {"hosts": ["a", "b"], "addresses": ["10.0.0.1"]}}, "as many as hosts"),
        ({"timeouts": {"body_read_seconds": 0}}, "greater than 0"),
        ({"secret": "x"}, "secret"),
        ({"hedging": {"a": {"after_seconds": 0}}}, "greater than 0"),
        ({"hedging": {"a": {"after_seconds": -1}}}, "greater than 0"),
        ({"hedging": {"a": {"after_seconds": float("nan")}}}, "less than or equal"),
        ({"hedging": {"a": {"after_seconds": 120}}}, r"first_byte_seconds \(120"),
        ({"hedging": {"a": {"whole_after_seconds": 600}}}, r"total_seconds \(600"),
        ({"hedging": {"a": {"after_seconds": 1, "max_share": 0}}}, "greater than or equal"),
        ({"hedging": {"a": {"after_seconds": 1, "max_share": 1.5}}}, "less than or equal"),
        ({"hedging": {"a": {}}}, "needs after_seconds, whole_after_seconds or both"),
        ({"hedging": {"b": {"after_seconds": 1}}, "aliases": {"b": "a"}}, "alias; write 'a'"),
    ],
)
def test_a_wrong_file_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigInvalid, match=said):
        GatewaySettings.parse({**SMALLEST, **change})
