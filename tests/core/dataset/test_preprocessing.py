"""Training data: made once, kept by content, the same as inference would make of the texts."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from song_folders import write_song
from tiny_checkpoints import tiny_tokenizer
from torch import Tensor

from ace_core.checkpoints.silence import silence_frames
from ace_core.checkpoints.tokenizer import TextTokenizer
from ace_core.dataset.dataset import Clip, Dataset
from ace_core.dataset.preprocessing import Encoders, Preprocessed, preprocess
from ace_core.dataset.samples import MANIFEST, read_manifest, read_sample
from ace_core.render.conditions import SongPrompt
from ace_core.song.blueprint import Blueprint

SILENCE = torch.linspace(-1, 1, 1000)[None, :, None].expand(1, 1000, 64)


class Networks:
    """Stands in for the networks; remembers what it was asked."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.waveforms: list[Tensor] = []
        self.prompts: list[SongPrompt] = []
        self._stop_at = stop_at

    def encode_audio(self, waveform: Tensor, on_progress) -> Tensor:
        if len(self.waveforms) == self._stop_at:
            raise KeyboardInterrupt
        self.waveforms.append(waveform)
        return torch.full((waveform.shape[2] // 1920, 64), float(waveform.std()))

    def encode_prompt(self, prompt: SongPrompt) -> Tensor:
        self.prompts.append(prompt)
        return torch.full((len(prompt.caption_ids), 8), float(len(self.prompts)))

    def encoders(self, vae: str = "vae", text: str = "text") -> Encoders:
        return Encoders(self.encode_audio, self.encode_prompt, TOKENIZER, SILENCE, vae, text)


TOKENIZER = TextTokenizer(tiny_tokenizer())


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    clips = []
    for number, pitch in enumerate((200.0, 300.0, 400.0)):
        path = write_song(tmp_path / "songs" / f"{number}.flac", 6.0 + number, pitch=pitch)
        song = Blueprint(caption=f"pop {number}", lyrics="la la", language="en", bpm=90)
        clips.append(Clip(path.name, path, 6.0 + number, song))
    return Dataset("songs", tuple(clips), "zukkel")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "training"
    path.mkdir()
    return path


def run(dataset: Dataset, folder: Path, networks: Networks, **identities: str) -> Preprocessed:
    return preprocess(dataset, folder, networks.encoders(**identities), base_model="acestep-v15-turbo")


def test_samples_and_manifest_are_written(dataset: Dataset, folder: Path) -> None:
    networks = Networks()
    done = run(dataset, folder, networks)
    assert (done.recordings_encoded, done.texts_encoded, done.skipped, done.cropped) == (3, 3, (), ())
    manifest = read_manifest(folder)
    assert manifest == done.manifest
    assert (manifest.name, manifest.base_model, manifest.activation_tag) == ("songs", "acestep-v15-turbo", "zukkel")
    assert [(entry.audio, entry.seconds, entry.caption) for entry in manifest.samples] == [
        ("0.flac", 6.0, "zukkel, pop 0"),
        ("1.flac", 7.0, "zukkel, pop 1"),
        ("2.flac", 8.0, "zukkel, pop 2"),
    ]
    for entry, frames in zip(manifest.samples, (150, 175, 200), strict=True):
        sample = read_sample(folder / entry.file)
        assert sample.latents.shape == (frames, 64)
        assert torch.equal(sample.source, silence_frames(SILENCE, frames)[0])
    assert {path.name for path in folder.iterdir()} == {MANIFEST, *(entry.file for entry in manifest.samples)}


def test_prompts_are_those_of_inference(dataset: Dataset, folder: Path) -> None:
    networks = Networks()
    run(dataset, folder, networks)
    assert TOKENIZER.encode_prompt("# Languages\nen\n\n# Lyric\nla la<|endoftext|>") == list(
        networks.prompts[0].lyric_ids
    )
    caption = (
        "# Instruction\nFill the audio semantic mask based on the given conditions:\n\n# Caption\nzukkel, pop 0\n\n"
        "# Metas\n- bpm: 90\n- timesignature: N/A\n- keyscale: N/A\n- duration: 6 seconds\n<|endoftext|>\n"
    )
    assert TOKENIZER.encode_prompt(caption) == list(networks.prompts[0].caption_ids)


def test_a_second_run_encodes_nothing(dataset: Dataset, folder: Path) -> None:
    first = run(dataset, folder, Networks())
    times = {path: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}
    networks = Networks()
    second = run(dataset, folder, networks)
    assert networks.waveforms == [] and networks.prompts == []
    assert second == first._replace(recordings_encoded=0, texts_encoded=0)
    assert times == {path: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}


def test_another_text_encodes_only_the_text(dataset: Dataset, folder: Path) -> None:
    first = run(dataset, folder, Networks()).manifest
    song = replace(dataset.clips[1].song, caption="rock")
    changed = replace(dataset, clips=(dataset.clips[0], replace(dataset.clips[1], song=song), dataset.clips[2]))
    networks = Networks()
    second = run(changed, folder, networks)
    assert (second.recordings_encoded, second.texts_encoded) == (0, 1)
    kept, new = (read_sample(folder / manifest.samples[1].file) for manifest in (first, second.manifest))
    assert torch.equal(kept.latents, new.latents) and kept.packed.shape != new.packed.shape
    assert second.manifest.dataset_hash != first.dataset_hash
    assert run(dataset, folder, networks).manifest == first
    assert len(networks.prompts) == 1


def test_another_recording_or_network_is_encoded_again(dataset: Dataset, folder: Path) -> None:
    run(dataset, folder, Networks())
    assert run(dataset, folder, Networks(), text="other")[2:4] == (0, 3)
    assert run(dataset, folder, Networks(), vae="other")[2:4] == (3, 3)
    write_song(dataset.clips[0].path, 6.0, pitch=500.0)
    assert run(dataset, folder, Networks())[2:4] == (1, 1)


def test_a_renamed_recording_is_not_encoded_again(dataset: Dataset, folder: Path) -> None:
    run(dataset, folder, Networks())
    path = dataset.clips[0].path.rename(dataset.clips[0].path.with_name("renamed.flac"))
    renamed = replace(dataset.clips[0], name=path.name, path=path)
    done = run(replace(dataset, clips=(renamed,)), folder, Networks())
    assert done[2:4] == (0, 0) and done.manifest.samples[0].audio == "renamed.flac"


def test_a_broken_sample_is_made_anew(dataset: Dataset, folder: Path) -> None:
    first = run(dataset, folder, Networks()).manifest
    broken = folder / first.samples[2].file
    broken.write_bytes(broken.read_bytes()[:-100])
    assert run(dataset, folder, Networks())[2:4] == (1, 1)
    read_sample(broken)


def test_cancel_keeps_what_is_done(dataset: Dataset, folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(dataset, folder, Networks(stop_at=2))
    assert len(list(folder.iterdir())) == 2 and not (folder / MANIFEST).exists()
    assert run(dataset, folder, Networks())[2:4] == (1, 1)


def test_reports_grow_and_the_callback_can_stop_at_each(dataset: Dataset, folder: Path) -> None:
    reports: list[int] = []
    encoders = Networks().encoders()
    preprocess(dataset, folder, encoders, base_model="x", on_progress=lambda done, total: reports.append(done))
    assert reports == sorted(reports) and len(reports) >= 6 and reports[-1] <= 3000


def test_songs_that_cannot_be_used_are_skipped_with_a_reason(dataset: Dataset, folder: Path) -> None:
    dataset.clips[0].path.write_bytes(b"broken")
    long = replace(dataset.clips[1], song=replace(dataset.clips[1].song, caption="very " * 600))
    done = run(replace(dataset, clips=(dataset.clips[0], long, dataset.clips[2])), folder, Networks())
    assert [entry.audio for entry in done.manifest.samples] == ["2.flac"]
    assert str(done.skipped[0]) == "0.flac holds no sound"
    assert "1.flac cannot be used: the caption with its instruction and metadata has" in str(done.skipped[1])
    assert done.recordings_encoded == 1
    shutil.rmtree(dataset.clips[2].path.parent)
    with pytest.raises(ValueError, match="no song of songs can be used: 0.flac cannot be read"):
        run(dataset, folder, Networks())


def test_long_songs_are_cropped_and_named(tmp_path: Path, folder: Path) -> None:
    path = write_song(tmp_path / "long.flac", 250.0)
    done = run(Dataset("songs", (Clip("long.flac", path, 250.0, Blueprint(caption="x")),)), folder, Networks())
    assert done.cropped == ("long.flac",) and done.manifest.samples[0].seconds == 240.0
