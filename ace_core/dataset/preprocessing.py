"""From a dataset to training data: each clip's latents and conditions, computed once and kept by content.

Matches the official trainer's preprocessing for text to music, except where it differs from inference: lyrics have
their `# Languages` header and room for 2048 tokens, no reference is 30 s of silence rather than a frame of zeros, and
latents are the mean of the posterior, so that a second run makes the same.

A sample's name is what it was made from: `<recording and VAE>-<texts and encoders>.safetensors`. So a sample that is
there need not be made again, and one with other texts lends its latents.

Traps:
- The length in the prompt is that of the latents, which a later run finds without decoding anything.
- Samples of earlier texts stay: they are small, and going back finds them. The manifest says which count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ..audio.waveform import LATENT_FRAME_RATE
from ..checkpoints.silence import silence_frames
from ..checkpoints.tokenizer import TextTokenizer
from ..progress import Progress, share_of_progress
from ..render.conditions import SongPrompt, tokenize_prompts
from ..song.blueprint import Blueprint
from ..tasks.instructions import TEXT_TO_MUSIC_INSTRUCTION
from .dataset import Dataset, FileProblem, Skipped, training_songs
from .recordings import MAX_CLIP_SECONDS, read_clip
from .samples import Manifest, SampleEntry, TrainingSample, read_sample, write_manifest, write_sample

RECIPE = "1"  # another one where the same recording and texts would make another sample
_KEY_CHARACTERS = 24
_READ_BYTES = 8 << 20


class Encoders(NamedTuple):
    """The frozen networks, as preprocessing uses them.

    Attributes:
        encode_audio: waveform [1, 2, N] at 48 kHz -> latents [T, 64], float32 on the CPU.
        encode_prompt: prompts -> packed conditions [L, condition_size] on the CPU, without a reference.
        silence: the model's silence latent [1, T, 64].
        audio_identity: changes with what `encode_audio` would answer. text_identity: likewise.
    """

    encode_audio: Callable[[Tensor, Progress | None], Tensor]
    encode_prompt: Callable[[SongPrompt], Tensor]
    tokenizer: TextTokenizer
    silence: Tensor
    audio_identity: str
    text_identity: str


class Preprocessed(NamedTuple):
    """The manifest, the clips that are not in it, and how much had to be computed."""

    manifest: Manifest
    skipped: tuple[Skipped, ...]
    recordings_encoded: int
    texts_encoded: int
    cropped: tuple[str, ...]


def preprocess(
    dataset: Dataset, folder: Path, encoders: Encoders, *, base_model: str, on_progress: Progress | None = None
) -> Preprocessed:
    """Make the samples that are not there yet, then the manifest.

    Args:
        folder: where samples and manifest go; it exists.
        base_model: whose condition encoder `encoders` has, as `lora.saving.base_model_name` spells it.
        on_progress: called with parts done, and in all; what it raises leaves finished samples where they are.

    Raises:
        ValueError: no clip can be used.
    """
    silence_identity = hashlib.sha256(encoders.silence.float().contiguous().numpy().tobytes()).hexdigest()
    text_identity = f"{RECIPE}\0{encoders.text_identity}\0{silence_identity}"
    entries: list[SampleEntry] = []
    skipped: list[Skipped] = []
    recordings = texts = 0
    for number, (clip, song) in enumerate(zip(dataset.clips, training_songs(dataset), strict=True)):
        share = share_of_progress(on_progress, number, len(dataset.clips))
        try:
            audio_key = _audio_key(clip.path, encoders.audio_identity, share_of_progress(share, 0, 3))
            kept = _with_key(folder, audio_key)
            if kept is None:
                _prompt(encoders.tokenizer, song, min(clip.seconds, MAX_CLIP_SECONDS))  # refuse before the work
                waveform = read_clip(clip.path, share_of_progress(share, 1, 3), downmix=dataset.downmix)
                latents = encoders.encode_audio(waveform, share_of_progress(share, 2, 3)).float()
                recordings += 1
            else:
                latents = kept.sample.latents
            seconds = len(latents) / LATENT_FRAME_RATE
            prompt = _prompt(encoders.tokenizer, song, seconds)
        except ValueError as error:
            skipped.append(Skipped.because_of(clip.name, error))
            continue
        path = folder / f"{audio_key}-{_text_key(prompt, text_identity)}.safetensors"
        if (kept is None or kept.path != path) and not _is_whole(path):
            source = silence_frames(encoders.silence, len(latents))[0].float()
            write_sample(path, TrainingSample(latents, encoders.encode_prompt(prompt).float(), source))
            texts += 1
        entries.append(SampleEntry(path.name, clip.name, seconds, song.caption or ""))
    if not entries:
        raise ValueError(f"no song of {dataset.name} can be used: {'; '.join(map(str, skipped[:3]))}")
    manifest = Manifest(dataset.name, base_model, dataset.activation_tag, _dataset_hash(entries), tuple(entries))
    write_manifest(folder, manifest)
    cropped = tuple(clip.name for clip in dataset.clips if clip.seconds > MAX_CLIP_SECONDS)
    return Preprocessed(manifest, tuple(skipped), recordings, texts, cropped)


def _prompt(tokenizer: TextTokenizer, song: Blueprint, seconds: float) -> SongPrompt:
    return tokenize_prompts(tokenizer, song, TEXT_TO_MUSIC_INSTRUCTION, seconds)


def _audio_key(path: Path, identity: str, on_progress: Progress | None) -> str:
    """Changes with the bytes of a recording and with what encodes it.

    Raises:
        ValueError: the recording cannot be read.
    """
    digest = hashlib.sha256(f"{RECIPE}\0{identity}\0".encode())
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            done = 0
            while block := file.read(_READ_BYTES):
                digest.update(block)
                done += len(block)
                if on_progress is not None:
                    on_progress(min(done, size), size)
    except OSError as error:
        raise FileProblem(f"cannot be read: {error.strerror}") from error
    return digest.hexdigest()[:_KEY_CHARACTERS]


def _text_key(prompt: SongPrompt, identity: str) -> str:
    """Changes with the tokens of a song's prompts and with what encodes them."""
    content = f"{identity}\0{prompt.caption_ids}\0{prompt.lyric_ids}"
    return hashlib.sha256(content.encode()).hexdigest()[:_KEY_CHARACTERS]


class _Kept(NamedTuple):
    path: Path
    sample: TrainingSample


def _with_key(folder: Path, audio_key: str) -> _Kept | None:
    """A whole sample of this recording, whatever its texts."""
    for path in sorted(folder.glob(f"{audio_key}-*.safetensors")):
        try:
            return _Kept(path, read_sample(path))
        except ValueError:  # broken: another one may be whole
            continue
    return None


def _is_whole(path: Path) -> bool:
    try:
        read_sample(path)
    except ValueError:
        return False
    return True


def _dataset_hash(entries: list[SampleEntry]) -> str:
    """Of the samples' names, which are those of all that went into them."""
    return hashlib.sha256("\n".join(entry.file for entry in entries).encode()).hexdigest()
