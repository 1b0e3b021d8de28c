"""The silence latent from each place it may be in, and computed where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_checkpoints
import torch
from torch import Tensor, nn

from ace_core.checkpoints.inspection import inspect_model, inspect_vae
from ace_core.checkpoints.loading import build_network
from ace_core.checkpoints.silence import compute_silence, load_silence, silence_frames


def silence_of(root: Path, layout: tiny_checkpoints.Layout) -> Tensor | None:
    return load_silence(inspect_model(tiny_checkpoints.write_tiny(root, layout).model))


def test_the_official_file_is_transposed(tmp_path: Path) -> None:
    silence = silence_of(tmp_path, "official")
    assert silence is not None
    stored = torch.load(tmp_path / "acestep-v15-turbo" / "silence_latent.pt", weights_only=True)
    assert stored.shape == (1, 64, 15000)
    assert silence.shape == (1, 15000, 64)
    assert silence.dtype == torch.float32
    assert torch.equal(silence[0, 3], stored[0, :, 3])


def test_the_diffusers_buffer(tmp_path: Path) -> None:
    silence = silence_of(tmp_path, "diffusers")
    official = silence_of(tmp_path, "official")
    assert silence is not None and official is not None
    assert silence.dtype == torch.float32
    assert torch.equal(silence, official.bfloat16().float())


def test_the_fp32_file_beside_a_pipeline_is_preferred_to_its_rounded_buffer(tmp_path: Path) -> None:
    official = tiny_checkpoints.write_tiny(tmp_path, "official").model / "silence_latent.pt"
    pipeline = tiny_checkpoints.write_tiny(tmp_path / "pipeline", "diffusers").model
    official.rename(pipeline / "silence_latent.pt")
    assert inspect_model(pipeline).silence == pipeline / "silence_latent.pt"


@pytest.mark.parametrize("layout", ["comfyui", "all_in_one"])
def test_comfyui_files_have_none(tmp_path: Path, layout: tiny_checkpoints.Layout) -> None:
    assert silence_of(tmp_path, layout) is None


def test_computed_silence_is_the_encoded_head_and_a_steady_frame(tmp_path: Path) -> None:
    vae = build_network(inspect_vae(tiny_checkpoints.write_tiny(tmp_path, "comfyui").vae), ops=nn, dtype=torch.float32)
    with torch.no_grad():
        silence = compute_silence(vae.encode)
        longer = vae.encode(torch.zeros(1, 2, 48_000 * 20))
    assert silence.shape == (1, 15000, 64)
    torch.testing.assert_close(silence[:, :100], longer[:, :100], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(silence[:, 9_000:9_001], longer[:, 250:251], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(silence[:, 0], silence[:, 100], atol=1e-2)
    assert torch.equal(silence[:, 200], silence[:, 14_999])


def test_edge_frames_at_the_end_of_the_encoded_clip_are_not_used() -> None:
    def encode(waveform: Tensor) -> Tensor:
        assert waveform.shape == (1, 2, 480_000)
        assert not waveform.any()
        latents = torch.full((1, 250, 64), 5.0)
        latents[:, :4] = latents[:, -4:] = 9.0
        return latents

    silence = compute_silence(encode)
    assert (silence[:, :4] == 9).all()
    assert (silence[:, 4:] == 5).all()


def test_silence_of_any_length() -> None:
    silence = torch.arange(15000.0)[None, :, None].expand(1, 15000, 64)
    assert torch.equal(silence_frames(silence, 750), silence[:, :750])
    assert silence_frames(silence, 15000).shape == (1, 15000, 64)
    longer = silence_frames(silence, 15010)
    assert torch.equal(longer[:, :15000], silence)
    assert (longer[:, 15000:] == 7500).all()
