"""Attention of the lyric heads against diffusers' own queries and keys, and its denoising against plain Python."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import diffusers_dit, random_weights
from numpy.typing import NDArray
from planted_lyrics import CONFIG, PlantedDiT, song_of
from safetensors.torch import load_file, save_file
from tiny_checkpoints import write_tiny
from torch import Tensor, nn

from ace_core.checkpoints.files import CheckpointError
from ace_core.checkpoints.inspection import inspect_model
from ace_core.listening import lyric_attention as module
from ace_core.listening.lyric_attention import lyric_attention, lyric_heads, mean_attention, read_attention
from ace_core.listening.lyric_tokens import LyricTokens
from ace_core.models.dit import DiT, LayerHeads
from ace_core.render.runs import render_memory_bytes
from ace_core.runtime import Runtime
from ace_core.sampling.noise import initial_noise

CPU = torch.device("cpu")
SIZES = {
    "2b": replace(CONFIG, num_layers=24, num_heads=16, num_kv_heads=8, head_dim=8, lyric_heads=()),
    "xl": replace(CONFIG, num_layers=32, num_heads=32, num_kv_heads=8, head_dim=4, lyric_heads=()),
}
PUBLISHED = {  # (layer, head) in the order of the official `custom_layers_config`
    "2b": [(2, 6), (3, 10), (3, 11), (4, 3), (5, 8), (5, 9), (6, 8)],
    "xl": [(3, 18), (3, 27), (4, 22), (5, 5), (5, 6), (5, 7), (6, 2), (6, 12), (6, 13), (7, 20), (7, 21)],
}
TOKENS = LyricTokens(first=9, texts=("la",) * 14, in_tag=(False,) * 14)


def extract(dit: DiT, frames: int, *, level: float = 0.125, **how: object) -> list[Tensor]:
    """Heads of a song with 23 lyric tokens, `TOKENS` among them."""
    song = song_of(range(23), frames)
    latents = torch.randn(frames, 64, generator=torch.Generator().manual_seed(5))
    return list(lyric_attention(dit, song, latents, TOKENS, Runtime(), level=level, **how))


def diffusers_heads(dit: DiT, frames: int, level: float) -> dict[tuple[int, int], Tensor]:
    """All cross-attention matrices [Lc, S] of the same pass, from what diffusers' attention multiplies."""
    config = dit.config
    peer = diffusers_dit(dit)
    caught: dict[tuple[int, str], Tensor] = {}
    for index, layer in enumerate(peer.layers):
        for name in ("norm_q", "norm_k"):
            getattr(layer.cross_attn, name).register_forward_hook(
                lambda _module, _inputs, output, key=(index, name): caught.__setitem__(key, output)
            )
    song = song_of(range(23), frames)
    latents = torch.randn(frames, 64, generator=torch.Generator().manual_seed(5))
    x = level * initial_noise((42,), frames) + (1 - level) * latents
    context = torch.cat((song.source, torch.ones(frames, 64)), dim=-1)[None]
    time = torch.tensor([level])
    peer(x, time, time, song.packed[None], context)

    found = {}
    for layer in range(config.num_layers):
        queries, keys = caught[layer, "norm_q"][0], caught[layer, "norm_k"][0]  # [S, H, D], [Lc, K, D]
        keys = keys.repeat_interleave(config.num_heads // config.num_kv_heads, dim=1)
        weights = (torch.einsum("shd,lhd->hsl", queries, keys) / math.sqrt(config.head_dim)).softmax(dim=-1)
        found |= {(layer, head): weights[head].T for head in range(config.num_heads)}
    return found


@pytest.mark.parametrize("size", ["2b", "xl"])
@pytest.mark.parametrize(("frames", "level"), [(128, 0.125), (131, 1.0)])
@torch.no_grad()
def test_heads_equal_a_full_computation_from_diffusers(size: str, frames: int, level: float) -> None:
    dit = random_weights(DiT(SIZES[size], ops=nn, device="meta"), 0)
    expected = diffusers_heads(dit, frames, level)
    heads = extract(dit, frames, level=level)
    assert len(heads) == len(PUBLISHED[size])
    for weights, place in zip(heads, PUBLISHED[size], strict=True):
        assert weights.shape == (14, -(-frames // 2))
        assert (weights - expected[place][9:23]).abs().max() <= 1e-5
        others = [(weights - expected[other][9:23]).abs().max() for other in expected if other != place]
        assert min(others) > 1e-3


@torch.no_grad()
def test_layers_above_the_last_head_never_run() -> None:
    dit = random_weights(DiT(SIZES["2b"], ops=nn, device="meta"), 1)
    ran: Counter[str] = Counter()
    for name, part in dit.named_modules():
        part.register_forward_hook(lambda _module, _inputs, _output, name=name: ran.update([name]))
    extract(dit, 128)
    assert all(ran[f"layers.{layer}.self_attn.q_proj"] == 1 for layer in range(7))
    assert ran["layers.5.mlp"] == 1
    assert ran["layers.6.mlp"] == ran["layers.6.cross_attn.o_proj"] == 0
    assert not [name for name in ran if name.startswith("layers.") and int(name.split(".")[1]) > 6]
    assert ran["norm_out"] == ran["proj_out"] == 0


@torch.no_grad()
def test_the_checkpoint_may_name_its_heads() -> None:
    dit = random_weights(DiT(CONFIG, ops=nn, device="meta"), 2)
    expected = diffusers_heads(dit, 130, 0.25)
    heads = extract(dit, 130, level=0.25)
    for weights, place in zip(heads, [(1, 0), (1, 3), (2, 1)], strict=True):
        assert (weights - expected[place][9:23]).abs().max() <= 1e-5


def test_a_network_of_another_size_must_name_its_heads() -> None:
    with pytest.raises(ValueError, match=r"has 4 layers.*lyric_alignment_layers_config"):
        lyric_heads(replace(CONFIG, lyric_heads=()))


def test_the_level_decides_noise_and_time() -> None:
    song, latents = song_of(range(23), 130), torch.full((130, 64), 3.0)
    for level in (1.0, 0.125):
        dit = PlantedDiT([])
        list(lyric_attention(dit, song, latents, TOKENS, seed=7, level=level, runtime=Runtime()))
        thousandths, frames, layers, x, context, rows = dit.asked
        assert (thousandths, frames, layers, rows) == ((1000 * level,), 130, 3, slice(9, 23))
        generator = torch.Generator().manual_seed(7)
        noise = torch.randn(130, 64, generator=generator)
        assert torch.equal(x[0], level * noise + (1 - level) * latents)
        assert torch.equal(context[0], torch.cat((song.source, torch.ones(130, 64)), dim=-1))


def test_frames_after_the_end_of_the_sound_are_left_out() -> None:
    song = song_of(range(23), 128, samples=48_001)
    dit = PlantedDiT([torch.rand(14, 64)])
    how = {"level": 1.0, "runtime": Runtime()}
    (weights,) = lyric_attention(dit, song, torch.zeros(128, 64), TOKENS, **how)  # type: ignore[arg-type]
    assert torch.equal(weights, dit.heads[0][:, :13])  # 12.5 positions of 80 ms


def test_progress_counts_heads_and_may_stop_the_pass() -> None:
    seen = []
    dit = random_weights(DiT(CONFIG, ops=nn, device="meta"), 2)
    extract(dit, 128, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]

    def cancel(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(dit, 128, on_progress=cancel)


def test_refuses_other_latents_and_levels() -> None:
    dit = PlantedDiT([])
    how = {"runtime": Runtime()}
    with pytest.raises(ValueError, match=r"latents have 150 frames \(6 s\).*song of 130 \(5.2 s\)"):
        list(lyric_attention(dit, song_of(range(23), 130), torch.zeros(150, 64), TOKENS, level=1, **how))
    for level in (0, 1.5):
        with pytest.raises(ValueError, match="level must be above 0 and at most 1, got"):
            list(lyric_attention(dit, song_of(range(23), 130), torch.zeros(130, 64), TOKENS, level=level, **how))


@pytest.mark.parametrize(
    ("setting", "heads"),
    [
        ({"3": [1], "0": [2, 0]}, (LayerHeads(0, (2, 0)), LayerHeads(3, (1,)))),
        (None, ()),
        ({}, ()),
        ({"4": [1]}, None),
        ({"1": [4]}, None),
        ({"1": [-1]}, None),
        ({"1": []}, None),
        ({"1": 2}, None),
        ({"one": [2]}, None),
        ([[1, 2]], None),
    ],
)
def test_heads_are_read_from_config_json(setting: object, heads: Sequence[LayerHeads] | None, tmp_path: Path) -> None:
    folder = write_tiny(tmp_path, "official").model
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"lyric_alignment_layers_config": setting}))
    if heads is None:
        with pytest.raises(CheckpointError, match="lyric_alignment_layers_config.*4 layers of 4 heads"):
            inspect_model(folder)
    else:
        assert inspect_model(folder).dit.config.lyric_heads == heads


def test_heads_of_a_single_file_are_read_from_its_header(tmp_path: Path) -> None:
    file = write_tiny(tmp_path, "comfyui").model
    assert inspect_model(file).dit.config.lyric_heads == (LayerHeads(1, (2, 3)), LayerHeads(2, (0,)))
    save_file(load_file(file), file, metadata={"lyric_alignment_layers_config": "heads 2 and 3"})
    with pytest.raises(CheckpointError, match="sets lyric_alignment_layers_config to no JSON"):
        inspect_model(file)
    save_file(load_file(file), file, metadata={"lyric_alignment_layers_config": '{"7": [1]}'})
    with pytest.raises(CheckpointError, match="lyric_alignment_layers_config.*4 layers of 4 heads"):
        inspect_model(file)


def attention_heads(heads: int, tokens: int, frames: int, seed: int) -> list[Tensor]:
    """Heads with a few strong cells, as after a softmax."""
    generator = torch.Generator().manual_seed(seed)
    return [(4 * torch.randn(tokens, frames, generator=generator)).softmax(dim=0) for _ in range(heads)]


def slow_consensus(heads: Sequence[Tensor]) -> NDArray[np.float64]:
    """The published steps, one number at a time in double precision."""
    stack = []
    for head in heads:
        rows = head.double().tolist()
        tokens, frames = len(rows), len(rows[0])
        by_row = [sum(map(math.exp, row)) for row in rows]
        by_column = [sum(math.exp(row[frame]) for row in rows) for frame in range(frames)]
        cells = [
            [math.exp(rows[i][j]) / by_row[i] * math.exp(rows[i][j]) / by_column[j] for j in range(frames)]
            for i in range(tokens)
        ]
        for row in cells:
            median = statistics.median(row)
            row[:] = [max(0.0, cell - 2 * median) for cell in row]
        for frame in range(frames):
            median = statistics.median(row[frame] for row in cells)
            for row in cells:
                row[frame] = max(0.0, row[frame] - 2 * median)
        stack.append([[cell**2 for cell in row] for row in cells])
    flat = [cell for head in stack for row in head for cell in row]
    mean, deviation = statistics.fmean(flat), statistics.pstdev(flat)
    return np.mean((np.array(stack) - mean) / (deviation + 1e-9), axis=0)


@pytest.mark.parametrize(("tokens", "frames"), [(7, 12), (8, 15), (9, 9), (1, 5), (5, 1)])
def test_consensus_equals_the_steps_in_plain_python(tokens: int, frames: int) -> None:
    heads = attention_heads(3, tokens, frames, seed=tokens)
    expected = slow_consensus(heads)
    consensus = read_attention(iter(heads)).consensus
    assert consensus.dtype == np.float32
    np.testing.assert_allclose(consensus, expected, rtol=1e-4, atol=1e-5 * (1 + np.abs(expected).max()))


def test_consensus_of_a_worked_example() -> None:
    """Three tokens of three frames, of which two are sung in one frame each."""
    weights = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    e = math.e
    sung = e / (e + 2) * e / (e + 2)  # softmax over the frames of the token times softmax over the tokens of the frame
    row_median = 1 / (e + 2) * 1 / 3  # of both rows; it is the cell of the middle frame
    kept = (sung - 2 * row_median) ** 2  # all other cells are below twice their row's median, so column medians are 0
    mean, deviation = 2 * kept / 9, kept * math.sqrt(2 / 9 - 4 / 81)
    expected = np.full((3, 3), -mean / (deviation + 1e-9))
    expected[0, 0] = expected[1, 2] = (kept - mean) / (deviation + 1e-9)
    np.testing.assert_allclose(read_attention([weights]).consensus, expected, rtol=1e-5)


def test_a_column_of_two_tokens_keeps_nothing_of_a_single_one() -> None:
    """The median of two numbers is halfway between them: twice that is the larger one when the other is 0."""
    weights = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert not read_attention([weights]).consensus.any()


def test_means_are_those_of_the_heads() -> None:
    heads = attention_heads(4, 6, 11, seed=3)
    expected = torch.stack(heads).mean(dim=0).numpy()
    np.testing.assert_allclose(mean_attention(iter(heads)), expected, rtol=1e-6)
    np.testing.assert_array_equal(read_attention(iter(heads)).mean, mean_attention(iter(heads)))


def test_a_head_that_says_nothing_weakens_the_consensus_evenly() -> None:
    heads = attention_heads(2, 6, 11, seed=4)
    flat = torch.full((6, 11), 1 / 6)
    with_flat, without = read_attention([*heads, flat]).consensus, read_attention(heads).consensus
    assert np.argsort(with_flat, axis=None)[-5:].tolist() == np.argsort(without, axis=None)[-5:].tolist()


@pytest.mark.parametrize("read", [read_attention, mean_attention])
def test_broken_attention_is_refused(read: object) -> None:
    heads = attention_heads(2, 6, 11, seed=4)
    heads[1][2, 3] = math.nan
    with pytest.raises(ValueError, match="not a number"):
        read(heads)  # type: ignore[operator]


def test_memory_estimate_counts_scores_and_matrices() -> None:
    song = song_of(range(23), 130)
    step = render_memory_bytes(CONFIG, [song], guided=False, dtype=torch.float32)
    needed = module.lyric_attention_memory_bytes(CONFIG, song, TOKENS, torch.float32)
    assert needed - step == 4 * 65 * (2 * 29 + 7 * 14)
