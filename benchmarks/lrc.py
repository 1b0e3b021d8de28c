"""Timing the lyrics of a song of 240 s at the published 2B size, against one step of the sampler for the same song.

`ratio` is timing / step: everything from finished latents to LRC text, the preparation of the conditions included,
over one unguided step without its preparation. `attention_memory_bytes` is the peak from the queries of a layer to the
times of the lines, for all heads; `peak_memory_bytes` that of the whole timing with the network's activations.

Cases: `song` (600 lyric tokens), `longest` (2040, all that a prompt holds).
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
from torch import Tensor, nn

from ace_core.audio.waveform import latent_frames, sample_count
from ace_core.listening.lyric_alignment import time_lyrics
from ace_core.listening.lyric_attention import lyric_attention, lyric_heads, read_attention
from ace_core.listening.lyric_formats import lrc
from ace_core.listening.lyric_tokens import LyricTokens
from ace_core.models.dit import DiT, DiTLayer
from ace_core.render.conditions import SongConditions
from ace_core.runtime import Runtime

from .common import PeakMemory, Result, interleaved_medians, parse_options, report
from .dit import PUBLISHED_2B
from .render import random_network

DURATION_SECONDS = 240
LYRIC_TOKENS = {"song": 600, "longest": 2040}
HEADER_TOKENS = 8
OTHER_TOKENS = 60  # timbre and caption
LINE_TOKENS = 10
STEPS = 8


@torch.inference_mode()
def main() -> None:
    options = parse_options("lrc", tuple(LYRIC_TOKENS), repeats=1)
    device, dtype = options.device, options.dtype
    count = LYRIC_TOKENS[options.case]
    frames = latent_frames(DURATION_SECONDS)
    with ProcessPoolExecutor(1, get_context("spawn")) as process:  # memory once freed by this one would not count
        attention_bytes = process.submit(attention_memory_bytes, count, frames, device, dtype).result()
    dit = random_network(DiT(PUBLISHED_2B, ops=nn, device="meta"), device, dtype)
    generator = torch.Generator().manual_seed(1)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    packed = noise(HEADER_TOKENS + count + OTHER_TOKENS, PUBLISHED_2B.condition_size)
    source = noise(frames, 64)
    song = SongConditions(packed, source, torch.ones(frames), sample_count(DURATION_SECONDS), source)
    tokens = lyrics_of(count)
    latents = noise(frames, 64)

    def time_song() -> str:
        heads = lyric_attention(dit, song, latents, tokens, Runtime(device, dtype), level=1 / STEPS)
        return lrc(time_lyrics(read_attention(heads).consensus, tokens, DURATION_SECONDS))

    x = noise(1, frames, 64).to(device)
    context = noise(1, frames, 128).to(device, dtype)
    run = dit.prepare([song.packed.to(device, dtype)], [1000 / STEPS], frames, guided=False)

    with PeakMemory(device) as peak:
        lines = time_song().count("\n")
    medians = interleaved_medians(
        {"timing": time_song, "step": lambda: dit(x, context, 0, run, guided=False)},
        repeats=options.repeats,
        device=device,
        warm_up=0 if device.type == "cpu" else 1,
    )
    result = Result(
        name="lrc",
        case=options.case,
        ours_seconds=medians["timing"],
        peer_seconds=None,
        ratio=medians["timing"] / medians["step"],
        peak_memory_bytes=peak.bytes,
        setup_seconds=0.0,
        extra={
            "step_seconds": medians["step"],
            "attention_memory_bytes": attention_bytes,
            "audio_seconds": DURATION_SECONDS,
            "lyric_tokens": count,
            "lines": lines,
        },
    )
    report(result, options)


def lyrics_of(count: int) -> LyricTokens:
    """Lyric tokens in lines of ten."""
    texts = tuple("la\n" if index % LINE_TOKENS == 0 else "la " for index in range(1, count + 1))
    return LyricTokens(HEADER_TOKENS, texts, (False,) * count)


@torch.inference_mode()
def attention_memory_bytes(count: int, frames: int, device: torch.device, dtype: torch.dtype) -> int:
    """Peak of the attention of all lyric heads, as if they were heads of one layer, and of the times from it."""
    layer = random_network(DiTLayer(PUBLISHED_2B, 0, ops=nn, device="meta"), device, dtype)
    heads = [head for chosen in lyric_heads(PUBLISHED_2B) for head in chosen.heads]
    tokens = lyrics_of(count)
    positions = frames // PUBLISHED_2B.patch_size
    hidden = torch.randn(1, positions, PUBLISHED_2B.hidden_size, device=device, dtype=dtype)
    conditions = torch.randn(
        1, HEADER_TOKENS + count + OTHER_TOKENS, PUBLISHED_2B.hidden_size, device=device, dtype=dtype
    )
    key = layer.cross_attn.key(conditions)
    with PeakMemory(device) as peak:
        read = read_attention(layer.attention_weights(hidden, key, heads, tokens.rows))
        time_lyrics(read.consensus, tokens, DURATION_SECONDS)
    return peak.bytes


if __name__ == "__main__":
    main()
