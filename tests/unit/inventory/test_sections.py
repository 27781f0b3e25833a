"""inventory/sections.py: what is said in two fields belongs together."""

import pytest
from pydantic import ValidationError

from inventory.sections import Inference, Keys

URL = "https://hooks.example.org/keys"


@pytest.mark.parametrize(
    ("url", "port"),
    [(URL, 443), ("https://hooks.example.org:8443/keys", 8443)],
)
def test_a_webhooks_port_is_its_urls(url: str, port: int) -> None:
    keys = Keys.model_validate({"webhook_url": url, "webhook_address": "203.0.113.9"})
    assert keys.webhook_port == port


@pytest.mark.parametrize("half", [{"webhook_url": URL}, {"webhook_address": "203.0.113.9"}])
def test_a_webhook_is_its_url_and_its_address(half: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="webhook_url and webhook_address belong together"):
        Keys.model_validate(half)
    assert Keys().webhook_url is None


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/keys",
        "https://ada@hooks.example.org/keys",
        "https://hooks.example.org/keys?token=x",
        "https://hooks.example.org/keys\n",
    ],
)
def test_a_webhook_is_https_without_a_user_or_a_secret_in_it(url: str) -> None:
    with pytest.raises(ValidationError, match="webhook_url"):
        Keys.model_validate({"webhook_url": url, "webhook_address": "203.0.113.9"})


def test_a_model_calls_tools_by_a_parser_the_engine_has() -> None:
    engine = {"engine": "cpu", "engine_version": "1", "served_model_name": "m"}
    assert Inference.model_validate(engine).tool_call_parser == ""
    with pytest.raises(ValidationError, match="tool_call_parser"):
        Inference.model_validate(engine | {"tool_call_parser": "nobody's"})
