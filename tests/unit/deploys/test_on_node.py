"""Tests of the programs nodes run beside the engine, as far as they need no engine."""

import importlib.util
import json
import socket
from pathlib import Path
from types import ModuleType

import pytest

ON_NODE = Path(__file__).parents[3] / "deploys" / "on_node"


def program(name: str) -> ModuleType:
    """One of the programs, as a module."""
    spec = importlib.util.spec_from_file_location(name, ON_NODE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_small_models_tensors_fit_its_configuration() -> None:
    maker = program("make_model")
    shapes = maker.shapes()
    layers = {name.split(".")[2] for name in shapes if name.startswith("model.layers.")}
    assert len(layers) == maker.CONFIG["num_hidden_layers"]
    assert shapes["lm_head.weight"] == (maker.CONFIG["vocab_size"], maker.CONFIG["hidden_size"])
    numbers = sum(a * (b[0] if b else 1) for a, *b in shapes.values())
    assert 4 * numbers < 8_000_000
    assert maker.SPECIAL[maker.END] == "<|end|>"
    assert json.dumps(maker.CONFIG)


def test_a_model_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="remove it"):
        program("make_model").make(tmp_path)


def test_systemd_hears_what_the_engine_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = program("serve_engine")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.settimeout(5)
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        answers = iter([False, True, True])
        monkeypatch.setattr(server, "healthy", lambda *_: next(answers))
        monkeypatch.setattr(server.time, "sleep", lambda _: None)
        with pytest.raises(StopIteration):
            server.watch("https://unused", None, 1.0)
        assert [systemd.recv(100) for _ in range(2)] == [
            b"READY=1\nSTATUS=Serving",
            b"WATCHDOG=1",
        ]


def test_outside_systemd_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    program("serve_engine").notify("READY=1")


def test_a_silent_engine_is_not_healthy() -> None:
    assert not program("serve_engine").healthy("https://127.0.0.1:9/health", None)
