"""Make the lab's own small language model: run on an inference node with the engine's own Python.

It knows nothing but this file: a byte-level BPE trained on `CORPUS`, and a four-layer Llama whose
weights are drawn from a fixed seed, 7 MB in all. The same engine gives the same bytes each time.
What it says is noise: it proves plumbing (loading, streaming, limits, schemas), never quality.

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
CHAT_TEMPLATE = (
    "<|begin|>{% for message in messages %}<|{{ message['role'] }}|>{% if message['content'] is"
    " string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{{ part['text'] }}{% endfor %}{% endif %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
VOCABULARY = 512
POSITIONS = 4096
SEED = 20260101


def make_tokenizer(folder: Path) -> dict[str, int]:
    """Train the BPE, save it with the chat template, and return the special tokens' ids."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # type: ignore[import-not-found]
    from transformers import PreTrainedTokenizerFast  # type: ignore[import-not-found]

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([CORPUS], trainer)
    roles = {"bos_token": "<|begin|>", "eos_token": "<|end|>", "pad_token": "<|pad|>"}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **roles,
        model_max_length=POSITIONS,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )
    fast.save_pretrained(folder)
    return {name: fast.convert_tokens_to_ids(name) for name in SPECIAL}


def make_weights(folder: Path, ids: dict[str, int]) -> None:
    """Draw a small Llama from the fixed seed and save it (float32 safetensors)."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM  # type: ignore[import-not-found]

    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=POSITIONS,
        bos_token_id=ids["<|begin|>"],
        eos_token_id=ids["<|end|>"],
        pad_token_id=ids["<|pad|>"],
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).to(torch.float32)
    model.save_pretrained(folder, safe_serialization=True)


def make(folder: Path) -> None:
    """Make the whole model in `folder`; raises FileExistsError when it is already there."""
    if folder.exists():
        raise FileExistsError(f"{folder} exists already; remove it to have it made again")
    beside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=0o755, parents=True)
    make_weights(beside, make_tokenizer(beside))
    generation = {"do_sample": True, "temperature": 1.0}
    defaults = beside / "generation_config.json"
    known = json.loads(defaults.read_text()) if defaults.exists() else {}
    defaults.write_text(json.dumps({**known, **generation}, indent=2, sort_keys=True) + "\n")
    for path in beside.iterdir():
        path.chmod(0o644)
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    (beside / ".complete").write_text(f"{digest}\n")
    os.sync()
    beside.rename(folder)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
