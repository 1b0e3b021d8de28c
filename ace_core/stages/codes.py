"""Codes: latents to audio codes and back, with a model's audio tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from ..loaded import AceModel, AceVae
from ..models.audio_tokenizer import AudioTokenizer
from ..render.audio_codes import decode_audio_codes, encode_audio_codes
from ..render.conditions import source_latents
from ..runtime import Networks, Part
from ..tasks.song_task import SongTask
from .sources import encode_source


def require_audio_tokenizer(model: AceModel) -> Part[AudioTokenizer]:
    """The model's audio tokenizer.

    Raises:
        ValueError: it was converted without.
    """
    if model.audio_tokenizer is None:
        raise ValueError(
            f"audio codes are needed, and {model.name} has no audio tokenizer: use another file of this model, a plan "
            "without codes (write_codes off), or the structure 'latents' for a cover"
        )
    return model.audio_tokenizer


def codes_of_waveforms(networks: Networks, model: AceModel, vae: AceVae, waveforms: Tensor) -> list[tuple[int, ...]]:
    """Audio codes of each of waveforms [B, 2, N] at 48 kHz; see `codes_of_latents`."""
    require_audio_tokenizer(model)
    return codes_of_latents(networks, model, encode_source(networks, vae, waveforms))


def codes_of_latents(networks: Networks, model: AceModel, songs: Iterable[Tensor]) -> list[tuple[int, ...]]:
    """Audio codes of each of some latents [T, 64].

    Raises:
        ValueError: a model without audio tokenizer.
    """
    network, runtime = networks.use(require_audio_tokenizer(model))
    return [encode_audio_codes(network, latents, model.silence, runtime) for latents in songs]


def followed_structure(networks: Networks, model: AceModel, task: SongTask) -> Tensor | None:
    """Latents [5 * N, 64] of the audio codes that a task follows, the plan's or those of its source; None without.

    Raises:
        ValueError: a model without audio tokenizer.
    """
    if not task.follows_codes:
        return None
    codes = task.codes or codes_of_latents(networks, model, [source_latents(task, model.silence)])[0]
    return structure_of_codes(networks, model, codes)


def structure_of_codes(networks: Networks, model: AceModel, codes: Sequence[int]) -> Tensor:
    """Latents [5 * N, 64] that N audio codes stand for."""
    network, runtime = networks.use(require_audio_tokenizer(model))
    return decode_audio_codes(network, codes, runtime)
