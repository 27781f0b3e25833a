"""The parsers of tool calls that vLLM 0.30 knows (`vllm/tool_parsers/__init__.py` there), by name.

Models write a tool call each in a form of their own; without the parser of that form vLLM refuses
`tool_choice: "auto"`, and an engine that is given a name it does not know ends at once.
"""

from difflib import get_close_matches

# fmt: off
NAMES = frozenset((
    "apertus", "cohere_command3", "cohere_command4", "deepseek_v3", "deepseek_v31",
    "deepseek_v32", "deepseek_v4", "deepseek_v41", "dots", "ernie45", "functiongemma", "gemma4",
    "gigachat3", "glm45", "glm47", "granite", "granite-20b-fc", "granite4", "hermes",
    "hunyuan_a13b", "hy_v3", "hy_v4", "inkling", "internlm", "jamba", "k2_horizon", "kimi_k2",
    "kimi_k3", "lfm2", "ling3", "llama3_json", "llama4_json", "llama4_pythonic", "longcat",
    "mimo", "minicpm5", "minimax_m2", "minimax_m3", "mistral", "muse_glimmer", "olmo3", "openai",
    "phi4_mini_json", "poolside_v1", "pythonic", "qwen3_coder", "qwen3_xml", "seed_oss", "step3",
    "step3p5", "xlam",
))
# fmt: on


def known(name: str) -> str:
    """`name`, or nothing; raises ValueError that says what it may be meant for."""
    if not name or name in NAMES:
        return name
    near = get_close_matches(name, sorted(NAMES), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise ValueError(f"no tool call parser of vLLM 0.30; {hint}known: {', '.join(sorted(NAMES))}")
