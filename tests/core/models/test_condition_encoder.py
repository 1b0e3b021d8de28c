"""Condition encoder against diffusers' AceStepConditionEncoder on shared random weights (fp32, one song)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diffusers.pipelines.ace_step.modeling_ace_step import AceStepConditionEncoder
from networks import SMALL_ENCODER, SMALL_PEER_ENCODER, peer_state, random_weights, relative_error
from torch import Tensor, nn

from ace_core.models.condition_encoder import ConditionEncoder, ConditionEncoderConfig

SMALL = ConditionEncoderConfig(
    encoder=SMALL_ENCODER,
    text_hidden_size=24,
    timbre_size=64,
    num_lyric_layers=3,
    num_timbre_layers=2,
    timbre_cls_token=False,
)


def build(config: ConditionEncoderConfig, seed: int) -> ConditionEncoder:
    return random_weights(ConditionEncoder(config, ops=nn, device="meta"), seed)


def peer_output(ours: ConditionEncoder, text: Tensor, lyrics: Tensor, references: Tensor) -> Tensor:
    peer = AceStepConditionEncoder(
        **SMALL_PEER_ENCODER,
        text_hidden_dim=SMALL.text_hidden_size,
        num_lyric_encoder_hidden_layers=SMALL.num_lyric_layers,
        num_timbre_encoder_hidden_layers=SMALL.num_timbre_layers,
    )
    weights = peer_state(ours)
    weights["null_condition_emb"] = peer.null_condition_emb.detach()
    weights["silence_latent"] = peer.silence_latent
    peer.load_state_dict(weights)
    packed, mask = peer(
        text_hidden_states=text[None],
        text_attention_mask=torch.ones(1, text.shape[0], dtype=torch.long),
        lyric_hidden_states=lyrics[None],
        lyric_attention_mask=torch.ones(1, lyrics.shape[0], dtype=torch.long),
        refer_audio_acoustic_hidden_states_packed=references,
        refer_audio_order_mask=torch.zeros(references.shape[0], dtype=torch.long),
    )
    assert mask.all()
    return packed[0]


@pytest.mark.parametrize(("seed", "lyric_length", "references"), [(0, 5, 1), (1, 61, 1), (2, 130, 2)])
@torch.no_grad()
def test_equals_diffusers(seed: int, lyric_length: int, references: int) -> None:
    encoder = build(SMALL, seed)
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(19, SMALL.text_hidden_size, generator=generator)
    lyrics = torch.randn(lyric_length, SMALL.text_hidden_size, generator=generator)
    timbre = torch.randn(references, 75, 64, generator=generator)

    ours = encoder(text, lyrics, list(timbre))

    assert ours.shape == (lyric_length + references + 19, 64)
    assert relative_error(ours, peer_output(encoder, text, lyrics, timbre)) <= 1e-4


@torch.no_grad()
def test_xl_timbre_reads_the_prepended_token() -> None:
    """The official XL model prepends `special_token` and reads its output; diffusers 0.42.1 reads the first frame.

    The official rule is checked by construction: prepend the token's pre-image as a frame of its own to the 2B rule.
    """
    encoder = build(replace(SMALL, timbre_cls_token=True), 3)
    plain = build(SMALL, 3)
    timbre = encoder.timbre_encoder
    reference = torch.randn(75, 64, generator=torch.Generator().manual_seed(3))
    weight, bias = timbre.embed_tokens.weight, timbre.embed_tokens.bias
    token_as_frame = torch.linalg.lstsq(weight, (timbre.special_token[0, 0] - bias)[:, None]).solution[:, 0]
    assert torch.allclose(weight @ token_as_frame + bias, timbre.special_token[0, 0], atol=1e-4)

    text, lyrics = torch.randn(4, 24), torch.randn(6, 24)
    xl = encoder(text, lyrics, [reference])
    by_construction = plain(text, lyrics, [torch.cat((token_as_frame[None], reference))])
    two_b = plain(text, lyrics, [reference])

    assert relative_error(xl[6], by_construction[6]) <= 1e-3
    assert relative_error(xl[6], two_b[6]) > 1e-2
