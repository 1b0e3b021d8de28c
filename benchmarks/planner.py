"""Seconds per audio code of a planner of the published 0.6B size, random weights, prompt of 300 tokens, guidance 2.

Cases: `guided` (one song) and `int8` (the same with int8 weights) against transformers' own `generate`, which shares
the fp32 weights and samples alike (its guidance, legal codes only, top-p, temperature); `batch4` compares four songs
with one, both ours. Reading the prompts is not part of a code's time. `batched_peer_seconds` is a plain loop over
transformers' network with both sequences in one step, the way the official code decodes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from transformers import LogitsProcessor, Qwen3ForCausalLM
from transformers import Qwen3Config as PeerConfig
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding

from ace_core.models.qwen3 import Qwen3, Qwen3Config
from ace_core.planner.code_generation import generate_codes
from ace_core.planner.linear import decoding_ops, logits_head
from ace_core.planner.quantized import build_int8
from ace_core.planner.token_choice import SamplingParameters
from ace_core.planner.vocabulary import FIRST_CODE
from ace_core.song.fields import CODE_COUNT

from .common import Options, PeakMemory, Result, parse_options, report

PUBLISHED = Qwen3Config(
    vocab_size=217_204,
    hidden_size=1024,
    intermediate_size=3072,
    num_layers=28,
    num_heads=16,
    num_kv_heads=8,
    head_dim=128,
    rope_theta=1e6,
    rms_norm_eps=1e-6,
)
INITIAL_WIDTH = 0.02
PROMPT_TOKENS = 300
NEGATIVE_TOKENS = 35
CODES = 16
GUIDANCE_SCALE = 2.0
PARAMETERS = SamplingParameters(temperature=0.85, top_p=0.9)


def random_planner() -> Qwen3:
    """Seeded weights, as wide as the published configuration initialises them."""
    network = Qwen3(PUBLISHED, ops=decoding_ops(nn), device="meta")
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: torch.ones(parameter.shape)
        if parameter.ndim == 1
        else torch.empty(parameter.shape).normal_(0, INITIAL_WIDTH, generator=generator)
        for name, parameter in network.named_parameters()
    }
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


def peer_of(network: Qwen3) -> Qwen3ForCausalLM:
    """transformers' model over the same tensors."""
    config = PeerConfig(
        vocab_size=PUBLISHED.vocab_size,
        hidden_size=PUBLISHED.hidden_size,
        intermediate_size=PUBLISHED.intermediate_size,
        num_hidden_layers=PUBLISHED.num_layers,
        num_attention_heads=PUBLISHED.num_heads,
        num_key_value_heads=PUBLISHED.num_kv_heads,
        head_dim=PUBLISHED.head_dim,
        rope_parameters={"rope_type": "default", "rope_theta": PUBLISHED.rope_theta},
        rms_norm_eps=PUBLISHED.rms_norm_eps,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        peer = Qwen3ForCausalLM(config)
    weights = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    peer.load_state_dict(weights, assign=True, strict=False)
    peer.tie_weights()
    peer.model.rotary_emb = Qwen3RotaryEmbedding(config)  # its tables are no weights, so they are still on "meta"
    peer.generation_config.eos_token_id = None
    return peer.eval().requires_grad_(False)


class LegalCodes(LogitsProcessor):
    """Only audio codes; remembers when the first logits came."""

    def __init__(self) -> None:
        self.started: float | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.started = self.started or time.perf_counter()
        legal = torch.full_like(scores, float("-inf"))
        codes = slice(FIRST_CODE, FIRST_CODE + CODE_COUNT)
        legal[:, codes] = scores[:, codes]
        return legal


def our_seconds(network: Qwen3, prompt: Sequence[int], negative: Sequence[int], songs: int) -> float:
    """Seconds per step: one code for each of the songs."""
    starts = [time.perf_counter()]

    def on_progress(done: int, _total: int) -> None:
        if done == 0:
            starts.append(time.perf_counter())

    generate_codes(
        network,
        [prompt] * songs,
        [negative] * songs,
        [CODES] * songs,
        PARAMETERS,
        range(songs),
        guidance_scale=GUIDANCE_SCALE,
        on_progress=on_progress,
    )
    return (time.perf_counter() - starts[-1]) / CODES


def generate_seconds(peer: Qwen3ForCausalLM, prompt: Sequence[int], negative: Sequence[int]) -> float:
    """Seconds per code of transformers' `generate`."""
    legal = LegalCodes()
    peer.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
        negative_prompt_ids=torch.tensor([negative]),
        negative_prompt_attention_mask=torch.ones(1, len(negative), dtype=torch.int64),
        guidance_scale=GUIDANCE_SCALE,
        logits_processor=[legal],
        do_sample=True,
        temperature=PARAMETERS.temperature,
        top_p=PARAMETERS.top_p,
        top_k=0,
        max_new_tokens=CODES,
        pad_token_id=0,
    )
    assert legal.started is not None
    return (time.perf_counter() - legal.started) / CODES


def batched_seconds(peer: Qwen3ForCausalLM, prompt: Sequence[int], negative: Sequence[int]) -> float:
    """Seconds per code with the conditional and the padded unconditional sequence in one step."""
    padding = len(prompt) - len(negative)
    ids = torch.tensor([list(prompt), [0] * padding + list(negative)])
    mask = torch.ones_like(ids)
    mask[1, :padding] = 0
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    out = peer(ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1)
    start = time.perf_counter()
    for code in range(CODES):
        conditional, unconditional = out.logits[:, -1].float()
        logits = unconditional + GUIDANCE_SCALE * (conditional - unconditional)
        logits = LegalCodes()(ids, logits[None])
        ordered, order = logits.sort(descending=True)
        probabilities = ordered.softmax(-1)
        ordered[probabilities.cumsum(-1) - probabilities > PARAMETERS.top_p] = float("-inf")
        chosen = order.gather(-1, torch.multinomial((ordered / PARAMETERS.temperature).softmax(-1), 1))
        if code + 1 < CODES:
            mask = torch.cat((mask, torch.ones(2, 1, dtype=mask.dtype)), dim=-1)
            positions = positions[:, -1:] + 1
            out = peer(
                chosen.repeat(2, 1),
                attention_mask=mask,
                position_ids=positions,
                past_key_values=out.past_key_values,
                use_cache=True,
            )
    return (time.perf_counter() - start) / CODES


def int8_accuracy(full: Qwen3, int8: Qwen3, texts: int = 8, tokens: int = 32) -> dict[str, object]:
    """How far the logits of the codes move, and how often the best code stays among the five best."""
    ids = torch.randint(FIRST_CODE, (texts, 1, tokens), generator=torch.Generator().manual_seed(2))

    def logits_of(network: Qwen3) -> Tensor:
        stop, device = FIRST_CODE + CODE_COUNT, torch.device("cpu")
        head = logits_head(network.embed_tokens, FIRST_CODE, stop, dtype=torch.float32, device=device)
        return torch.cat([head(network(text, torch.float32)[0]) for text in ids])

    expected, logits = logits_of(full), logits_of(int8)
    best = expected.argmax(-1, keepdim=True)
    return {
        "logits_relative_error": ((logits - expected).norm() / expected.norm()).item(),
        "best_in_top_5": (logits.topk(5).indices == best).any(-1).float().mean().item(),
    }


def interleaved(runs: dict[str, Callable[[], float]], options: Options) -> dict[str, float]:
    """Medians of what the runs report, taken in turn."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.repeats):
        for name, run in runs.items():
            times[name].append(run())
    return {name: statistics.median(values) for name, values in times.items()}


@torch.inference_mode()
def main() -> None:
    options = parse_options("planner", ("guided", "int8", "batch4"), repeats=3)
    generator = torch.Generator().manual_seed(1)
    prompt = torch.randint(FIRST_CODE, (PROMPT_TOKENS,), generator=generator).tolist()
    negative = torch.randint(FIRST_CODE, (NEGATIVE_TOKENS,), generator=generator).tolist()
    full = random_planner()
    start = time.perf_counter()
    ours = build_int8(PUBLISHED, full.state_dict(), ops=nn) if options.case == "int8" else full
    setup_seconds = time.perf_counter() - start
    songs = 4 if options.case == "batch4" else 1

    runs = {"ours": lambda: our_seconds(ours, prompt, negative, songs)}
    if options.case == "batch4":
        runs["one song"] = lambda: our_seconds(ours, prompt, negative, 1)
    else:
        peer = peer_of(full)
        runs["generate"] = lambda: generate_seconds(peer, prompt, negative)
        runs["batched"] = lambda: batched_seconds(peer, prompt, negative)
    with PeakMemory(options.device) as peak:
        our_seconds(ours, prompt, negative, songs)
    medians = interleaved(runs, options)
    other = medians["one song" if options.case == "batch4" else "generate"]
    extra: dict[str, object] = {"codes_per_second": songs / medians["ours"], "prompt_tokens": PROMPT_TOKENS}
    if options.case == "batch4":
        extra |= {"compares": "four songs with one", "one_song_seconds": other}
    else:
        extra |= {
            "batched_peer_seconds": medians["batched"],
            "batched_ratio": medians["ours"] / medians["batched"],
        }
    if options.case == "int8":
        extra |= int8_accuracy(full, ours)
    result = Result(
        name="planner",
        case=options.case,
        ours_seconds=medians["ours"],
        peer_seconds=None if options.case == "batch4" else other,
        ratio=medians["ours"] / other,
        peak_memory_bytes=peak.bytes,
        setup_seconds=setup_seconds,
        extra=extra,
    )
    report(result, options, "transformers")


if __name__ == "__main__":
    main()
