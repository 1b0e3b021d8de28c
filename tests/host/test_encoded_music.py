"""Real music as people have it, MP3, Ogg Vorbis and FLAC of Debian's archive, through Load Audio into the nodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from comfyui_client import ComfyUIClient
from debian_music import FETCH_COMMAND, FILES, find_music
from numpy.typing import NDArray
from song_runs import blueprints_of, decode_sound, published_prompt, sounds, succeed, with_nodes

RATE = 48_000
CLICKS_A_SECOND = 2  # 120 bpm


@pytest.fixture(scope="module")
def encoded() -> Mapping[str, Path]:
    found = find_music()
    if missing := [name for name in FILES if name not in found]:
        pytest.fail(
            f"{', '.join(missing)} of Debian's archive are not there. 'python dev.py test host' fetches them where it "
            f"runs as root and apt-get exists; by hand, as root, in the repository: {FETCH_COMMAND}"
        )
    return found


def heard(client: ComfyUIClient, path: Path) -> NDArray[np.float32]:
    """What the nodes get of a file [2, samples], by way of a Mix that only brings it to 48 kHz stereo."""
    mixer = published_prompt("vocal_to_backing")["mix"]["inputs"]
    del mixer["audio_2"]
    prompt = with_nodes(
        {},
        audio=("LoadAudio", {"audio": client.upload(path)}),
        mix=("AceComposerMix", {**mixer, "audio_1": ["audio", 0]}),
        save=("SaveAudio", {"audio": ["mix", 0], "filename_prefix": "audio/heard"}),
    )
    ((waveform, _, _),) = sounds(client, succeed(client, prompt))
    return waveform


@pytest.mark.parametrize("name", FILES)
def test_a_cover_of_the_file_is_as_long_as_its_music(
    client: ComfyUIClient, encoded: Mapping[str, Path], name: str
) -> None:
    source = decode_sound(encoded[name].read_bytes())
    prompt = published_prompt("cover", audio={"audio": client.upload(encoded[name])}, sample={"steps": 2, "seed": 5})
    ((waveform, rate, _),) = sounds(client, succeed(client, prompt))
    assert rate == RATE and waveform.shape[0] == 2
    assert waveform.shape[1] == pytest.approx(source.waveform.shape[1] * RATE / source.sample_rate, abs=1)
    assert waveform.std() > 0.01


def test_the_same_loop_is_heard_in_both_lossy_formats(client: ComfyUIClient, encoded: Mapping[str, Path]) -> None:
    mp3, ogg = (heard(client, encoded[name])[0] for name in FILES[:2])
    size = len(mp3) + len(ogg)
    product = np.fft.irfft(np.fft.rfft(mp3, size) * np.conj(np.fft.rfft(ogg, size)), size)
    likeness = product.max() / np.sqrt((mp3**2).sum() * (ogg**2).sum())
    assert likeness > 0.95  # at the delay that an MP3 encoder adds


def test_the_clicks_of_the_metronome_are_in_time(client: ComfyUIClient, encoded: Mapping[str, Path]) -> None:
    clicks = heard(client, encoded["click-120bpm.flac"])
    loudness = np.abs(clicks[0]).reshape(-1, RATE // 100).max(axis=1)
    starts = np.flatnonzero((loudness[1:] > 0.3) & (loudness[:-1] < 0.05))
    assert len(starts) == 3 and np.diff(starts) == pytest.approx(100 / CLICKS_A_SECOND, abs=1)  # and one at the start


def test_codes_of_the_file_cover_its_length(client: ComfyUIClient, encoded: Mapping[str, Path]) -> None:
    load = published_prompt("cover")["load"]
    for name, count in ((FILES[0], 37), (FILES[2], 10)):  # 5 a second of 7.26 s and 2 s
        prompt = with_nodes(
            {"load": load},
            audio=("LoadAudio", {"audio": client.upload(encoded[name])}),
            codes=("AceComposerAudioToCodes", {"model": ["load", 0], "vae": ["load", 2], "audio": ["audio", 0]}),
            keep=("AceComposerSaveBlueprint", {"blueprint": ["codes", 0], "filename_prefix": "blueprints/heard"}),
        )
        (song,) = blueprints_of(client, succeed(client, prompt))
        assert song.audio_codes is not None and len(song.audio_codes) == count
