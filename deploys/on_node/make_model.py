"""Make the lab's own small language model: run on an inference node with the engine's own Python.

It knows nothing but this file: a byte-level BPE trained on `CORPUS`, and a four-layer Llama whose
weights are drawn from a fixed seed, 4 MB in all. The same engine gives the same bytes each time.
What it says is noise: it proves plumbing (loading, streaming, limits, schemas), never quality.
Files are written as transformers would, without importing it: that alone takes 15 s.

    python make_model.py FOLDER

FOLDER must not exist yet; it appears complete or not at all (made beside, then renamed), with the
SHA-256 of this file in `FOLDER/.complete`, by which a deploy knows whether it has to be remade.
"""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

CORPUS = """
Six machines, one private service. A gateway stands in front of an engine, a council deliberates,
a ledger remembers what was decided, and nothing that was written is quietly rewritten.
The user asks a question; the assistant answers it, in plain words, and says what it does not know.
A request has a key, a quota and an audit record. An answer has tokens, a status and a duration.
What is the capital of France? The capital of France is Paris. How many nodes are there? Six.
Hello! Hi, how can I help you today? Thank you. You are welcome. Good morning, good evening.
{"name": "example", "value": 1, "items": [true, false, null], "text": "a string"}
def main() -> int: return 0  # for, while, if, else, import, class, yield, await, with, as, in
0 1 2 3 4 5 6 7 8 9 10 11 12 24 48 64 96 100 128 256 512 1024 2048 4096 3.14 2.718 99.9 %
Crawdad guards, Gecko measures, Turtle looks far ahead, Eagle Eye watches, Spider connects,
Peace Chief reconciles, Raven plans. Seven voices, one answer, and the dissent kept word for word.
"""
SPECIAL = ["<|pad|>", "<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
PAD, BEGIN, END = range(3)
CHAT_TEMPLATE = (
    "<|begin|>{% for message in messages %}<|{{ message['role'] }}|>{% if message['content'] is"
    " string %}{{ message['content'] }}{% elif message['content'] %}{% for part in"
    " message['content'] %}{{ part['text'] }}{% endfor %}{% endif %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SEED = 20260101
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 512,
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 8192,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "initializer_range": 0.02,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
    "torch_dtype": "float32",
    "pad_token_id": PAD,
    "bos_token_id": BEGIN,
    "eos_token_id": END,
}


def make_tokenizer(folder: Path) -> None:
    """Train the byte-level BPE on the corpus and save it with the chat template."""
    from tokenizers import (  # type: ignore[import-not-found]
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        trainers,
    )

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=CONFIG["vocab_size"],
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([CORPUS], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": CONFIG["max_position_embeddings"],
            "clean_up_tokenization_spaces": False,
            "pad_token": SPECIAL[PAD],
            "bos_token": SPECIAL[BEGIN],
            "eos_token": SPECIAL[END],
            "chat_template": CHAT_TEMPLATE,
        },
    )


def shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of a Llama's tensors, as transformers writes them."""
    size = {key: value for key, value in CONFIG.items() if isinstance(value, int)}
    hidden, inner, vocabulary = (
        size["hidden_size"],
        size["intermediate_size"],
        size["vocab_size"],
    )
    query = size["num_attention_heads"] * size["head_dim"]
    key_value = size["num_key_value_heads"] * size["head_dim"]
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, hidden)}
    for layer in range(size["num_hidden_layers"]):
        for name, shape in {
            "self_attn.q_proj": (query, hidden),
            "self_attn.k_proj": (key_value, hidden),
            "self_attn.v_proj": (key_value, hidden),
            "self_attn.o_proj": (hidden, query),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner),
            "input_layernorm": (hidden,),
            "post_attention_layernorm": (hidden,),
        }.items():
            found[f"model.layers.{layer}.{name}.weight"] = shape
    return {**found, "model.norm.weight": (hidden,), "lm_head.weight": (vocabulary, hidden)}


def make_weights(folder: Path) -> None:
    """Draw the weights from the fixed seed and save them (float32 safetensors); norms are ones."""
    import numpy  # type: ignore[import-not-found]
    from safetensors.numpy import save_file  # type: ignore[import-not-found]

    random = numpy.random.Generator(numpy.random.PCG64(SEED))
    tensors = {
        name: numpy.ones(shape, numpy.float32)
        if len(shape) == 1
        else random.standard_normal(shape, numpy.float32) * CONFIG["initializer_range"]
        for name, shape in shapes().items()
    }
    save_file(
        {name: tensor.astype(numpy.float32) for name, tensor in tensors.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    write_json(folder / "config.json", CONFIG)
    write_json(
        folder / "generation_config.json",
        {"bos_token_id": BEGIN, "eos_token_id": END, "pad_token_id": PAD, "do_sample": True},
    )


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON file a person can read."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def make(folder: Path) -> None:
    """Make the whole model in `folder`; raises FileExistsError when it is already there."""
    if folder.exists():
        raise FileExistsError(f"{folder} exists already; remove it to have it made again")
    beside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=0o755, parents=True)
    make_tokenizer(beside)
    make_weights(beside)
    for path in beside.iterdir():
        path.chmod(0o644)
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    (beside / ".complete").write_text(f"{digest}\n")
    os.sync()
    beside.rename(folder)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
