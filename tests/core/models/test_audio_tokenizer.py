"""Audio tokenizer and detokenizer against diffusers' classes on shared random weights (fp32)."""

from __future__ import annotations

import pytest
import torch
from diffusers.pipelines.ace_step.modeling_ace_step import AceStepAudioTokenDetokenizer, AceStepAudioTokenizer
from networks import SMALL_ENCODER, SMALL_PEER_ENCODER, peer_state, random_weights, relative_error
from torch import nn

from ace_core.models.audio_tokenizer import AudioTokenizer, AudioTokenizerConfig, level_values, quantize

LEVELS = (8, 8, 8, 5, 5, 5)
SMALL = AudioTokenizerConfig(
    encoder=SMALL_ENCODER,
    latent_channels=64,
    num_pooler_layers=2,
    num_detokenizer_layers=2,
    pool_window=5,
    fsq_levels=LEVELS,
)


def build(seed: int, dtype: torch.dtype = torch.float32) -> AudioTokenizer:
    return random_weights(AudioTokenizer(SMALL, ops=nn, device="meta"), seed, dtype)


@pytest.mark.parametrize(("seed", "batch", "tokens"), [(0, 1, 26), (1, 2, 7), (2, 3, 1)])
@torch.no_grad()
def test_codes_and_latents_equal_diffusers(seed: int, batch: int, tokens: int) -> None:
    ours = build(seed)
    latents = torch.randn(batch, tokens * 5, 64, generator=torch.Generator().manual_seed(seed))
    tokenizer = AceStepAudioTokenizer(**SMALL_PEER_ENCODER, fsq_dim=64)
    tokenizer.load_state_dict(peer_state(ours.tokenizer), strict=False)
    detokenizer = AceStepAudioTokenDetokenizer(**SMALL_PEER_ENCODER)
    detokenizer.load_state_dict(peer_state(ours.detokenizer))

    quantized, expected_codes = tokenizer.tokenize(latents)
    codes = ours.encode(latents)

    assert codes.unique().numel() > tokens // 2
    assert torch.equal(codes, expected_codes[..., 0])
    assert relative_error(ours.decode(codes, torch.float32), detokenizer(quantized)) <= 1e-4


def test_every_code_survives_the_level_values() -> None:
    codes = torch.arange(64000)
    values = level_values(codes, LEVELS)
    assert values.abs().max() == 1
    _, again = quantize(values * 1.6, LEVELS)  # past the soft clamp at the ends, inside the rounding interval elsewhere
    _, end_codes = quantize(torch.full((1, 6), 9.0), LEVELS)
    assert end_codes.item() == 63999
    assert again[0] == 0
    basis = torch.tensor([1, 8, 64, 512, 2560, 12800])
    steps = torch.tensor(LEVELS) - 1
    assert torch.equal(((values + 1) / 2 * steps).round().long() @ basis, codes)


def test_quantiser_stays_fp32_in_a_half_precision_network() -> None:
    network = AudioTokenizer(SMALL, ops=nn, dtype=torch.bfloat16, device="meta")
    dtypes = {name: parameter.dtype for name, parameter in network.named_parameters()}
    fp32 = {name for name, dtype in dtypes.items() if dtype == torch.float32}
    assert fp32 == {f"tokenizer.quantizer.project_{end}.{part}" for end in ("in", "out") for part in ("weight", "bias")}


def test_a_length_that_is_no_multiple_of_five_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 5 frames, got 13"):
        build(0).encode(torch.zeros(1, 13, 64))
