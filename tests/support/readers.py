"""Every reader of files that come from anybody, with a good file for each: what `mutated_files.py` damages.

`MODULES` names each module of the pack that opens files for reading; a test compares it with the source, so that a
reader that is added gets a kind here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from adapter_files import STYLES, random_lora
from safetensors.torch import save_file
from tiny_checkpoints import tiny_tokenizer, write_tiny
from tiny_planner import write_tiny_planner
from training_data import write_random_data

from ace_core.checkpoints.inspection import inspect_model, inspect_planner, inspect_text_encoder, inspect_vae
from ace_core.checkpoints.loading import load_state_dict
from ace_core.checkpoints.silence import load_silence
from ace_core.checkpoints.tokenizer import find_planner_tokenizer, load_tokenizer
from ace_core.dataset.dataset import Dataset
from ace_core.dataset.label_file import open_label_file
from ace_core.dataset.samples import read_manifest, read_sample
from ace_core.dataset.scanning import Scan, scan_folder
from ace_core.lora.formats import inspect_adapter, load_adapter
from ace_core.song.blueprint import Blueprint
from ace_core.song.blueprint_json import blueprints_to_json
from ace_core.song.lyric_reader import lyrics_in_text
from ace_core.song.official_params import plans_from_json
from ace_core.song.text_encodings import decoded_text
from ace_core.song_files.encoding import ENCODINGS, Sound, read_sound
from ace_core.song_files.files import read_record, write_song
from ace_core.song_files.record import SongRecord, record_from_json, record_to_json
from ace_core.song_files.stars import read_star, write_star
from ace_core.training.config import read_config
from ace_core.training.run_state import RunState, load_state, save_state

SONG_SECONDS = 2
CLIP_SECONDS = 6  # a little more than the least that a dataset takes
SAMPLE = "SAMPLE"
ENCODED = {"flac": "flac 16 bit", "wav": "wav 16 bit", "mp3": "mp3 128k", "opus": "opus 64k", "m4a": "aac 128k"}
LISTED = {"audio_path": "a.flac", "caption": "rock", "bpm": 120, "lyrics": "[Verse]\nla"}
COMPANIONS: Mapping[str, str] = {  # beside a recording, in a folder each
    "a.txt": "caption: a warm trio\nbpm: 120\nkey: C minor\nlyrics:\n[Verse]\nla\n",
    "a.caption": "a warm trio with brushes",
    "a.lrc": "[ti:x]\n[00:01.00]<00:01.00>la <00:01.50>le\n[100,900]It's (100,300)me(400,600)\n[00:02.00]lo",
    "a.srt": "1\n00:00:01,000 --> 00:00:02,000\n<i>la</i> {\\an8}le\n\n2\n00:00:03,000 --> 00:00:04,000\n- \u266a lo\n",
    "a.vtt": "WEBVTT\n\nNOTE x\n\n00:01.000 --> 00:02.000 align:start\n<v Ann>la &amp; <00:01.500><c>le</c>\n",
    "a.ass": "[Script Info]\n[Events]\nFormat: Start, Effect, Text\nDialogue: 0:00:01.00,,{\\k9}la\\Nlo\n",
    "a.ttml": '<tt xmlns="http://www.w3.org/ns/ttml"><body><p begin="1s">la<span>le</span></p></body></tt>',
    "a.json": json.dumps(LISTED | {"timesignature": "4/4", "keyscale": "A minor", "tags": ["rock"], "duration": 2.0}),
    "table.csv": "File,BPM,Key,Caption\na.flac,120,A minor,rock\n",
    "table.tsv": "file\tcaption\tbpm\na.flac\trock\t120\n",
    "table.jsonl": json.dumps({"file_name": "a.flac", "text": "rock", "bpm": 120}) + "\n",
    "all.json": json.dumps({"metadata": {}, "samples": [LISTED]}),
    "list.json": json.dumps([{"file": "a.flac", "tags": ["rock"], "norm_lyrics": "la"}]),
}
LYRICS: Mapping[str, str] = {
    "ultrastar": "#TITLE:x\n#BPM:120\n: 0 4 0 la\n: 4 4 0 ~\n- 8\n: 8 4 0 le\nE\n",
    "of a language model": "<think>a</think>\nHere are the lyrics:\n\n```\n**[Verse]**\nla\n```\n\nLet me know if!",
}
TRAINING = 'model = "m"\ndata = "d"\noutput = "o"\nsave_every = 10\n\n[training]\nadapter = "lora"\nsteps = 10\n'
OFFICIAL_PLAN = {"task_type": "text2music", "caption": "rock", "lyrics": "[Verse]\nla", "bpm": 120, "keyscale": "Am"}


class Kind(NamedTuple):
    """A kind of file: the place of the one to damage below the folder, and what reads it."""

    place: str
    read: Callable[[Path], object]


def everything(inspect: Callable[[Path], Any], path: Path) -> None:
    """Inspect a model file and read all of its tensors."""
    found = inspect(path)
    is_model = hasattr(found, "dit")
    for source in (found.dit, found.condition_encoder, found.audio_tokenizer) if is_model else (found,):
        if source is not None:
            load_state_dict(source)
    if is_model:
        load_silence(found)


def adapter(path: Path) -> None:
    load_adapter(inspect_adapter(path))


def song(path: Path) -> None:
    read_record(path)
    read_sound(path)


def star(path: Path) -> None:
    write_star(path, not read_star(path))


def above(read: Callable[[Path], object], path: Path, *, levels: int = 1) -> None:
    """Read the folder that a file lies in."""
    read(path.parents[levels - 1])


def text(read: Callable[[str], object], path: Path) -> None:
    """Read a text as nodes and commands do."""
    read(decoded_text(path.read_bytes()).text)


def dataset(path: Path) -> Scan:
    return scan_folder(path.parent, path.parent)


def labels(path: Path) -> None:
    open_label_file(path, Dataset("songs", scan_folder(path.parent, path.parent).clips))


model_folder = partial(above, partial(everything, inspect_model))
KINDS: Mapping[str, Kind] = {
    "model": Kind("comfyui/acestep_v1.5_turbo.safetensors", partial(everything, inspect_model)),
    "text encoder": Kind("comfyui/qwen_0.6b_ace15.safetensors", partial(everything, inspect_text_encoder)),
    "vae": Kind("comfyui/ace_1.5_vae.safetensors", partial(everything, inspect_vae)),
    "planner": Kind("planner/config.json", partial(above, partial(everything, inspect_planner))),
    "config": Kind("official/acestep-v15-turbo/config.json", model_folder),
    "silence": Kind("official/acestep-v15-turbo/silence_latent.pt", model_folder),
    "index": Kind("sharded/acestep-v15-turbo/model.safetensors.index.json", model_folder),
    "pipeline": Kind("diffusers/model_index.json", model_folder),
    "transformer config": Kind(
        "diffusers/transformer/config.json", partial(above, partial(everything, inspect_model), levels=2)
    ),
    "vae config": Kind("official/vae/config.json", partial(above, partial(everything, inspect_vae))),
    "tokenizer": Kind("official/Qwen3-Embedding-0.6B/tokenizer.json", partial(above, load_tokenizer)),
    "planner tokenizer": Kind(
        "official/Qwen3-Embedding-0.6B/tokenizer.json", partial(above, lambda folder: find_planner_tokenizer(folder, 9))
    ),
    "vocabulary": Kind("vocabulary/vocab.json", partial(above, load_tokenizer)),
    "merges": Kind("vocabulary/merges.txt", partial(above, load_tokenizer)),
    "lora": Kind("lora/adapter_model.safetensors", adapter),
    "lora config": Kind("lora/adapter_config.json", partial(above, adapter)),
    "oft": Kind("oft/adapter_model.safetensors", adapter),
    "oft config": Kind("oft/adapter_config.json", partial(above, adapter)),
    "lycoris oft": Kind("oft/lycoris.safetensors", adapter),
    **{f"lora {style}": Kind(f"loras/{style}.safetensors", adapter) for style in ("diffusers", "kohya", "lycoris")},
    "blueprint": Kind("plans/plan.json", partial(text, plans_from_json)),
    "official plan": Kind("plans/official.json", partial(text, plans_from_json)),
    "record": Kind("plans/record.json", partial(text, record_from_json)),
    **{f"song {suffix}": Kind(f"songs/song.{suffix}", song) for suffix in ENCODED},
    **{f"star {suffix}": Kind(f"songs/song.{suffix}", star) for suffix in ENCODED},
    **{f"lyrics {name}": Kind(f"lyrics/{name}.txt", partial(text, lyrics_in_text)) for name in LYRICS},
    **{f"dataset {name}": Kind(f"dataset {name}/{name}", dataset) for name in (*COMPANIONS, "a.flac", "a.pt")},
    "labels": Kind("labels/labels.json", labels),
    "training config": Kind("training/run.toml", read_config),
    "state": Kind("state/state.safetensors", load_state),
    "sample": Kind(f"data/{SAMPLE}", read_sample),
    "manifest": Kind("data/manifest.json", partial(above, read_manifest)),
}

_OWN = "reads only what the pack wrote itself or brought along"
MODULES: Mapping[str, str] = {  # by the kinds that reach it, or why none has to
    "ace_core/checkpoints/file_hashes.py": "hashes bytes, whatever they are",
    "ace_core/checkpoints/files.py": "model, config, index",
    "ace_core/checkpoints/silence.py": "silence",
    "ace_core/checkpoints/tensors.py": "model",
    "ace_core/checkpoints/tokenizer.py": "tokenizer, planner tokenizer, vocabulary, merges",
    "ace_core/dataset/facts.py": "dataset a.txt",
    "ace_core/dataset/manifests.py": "dataset a.pt",
    "ace_core/dataset/preprocessing.py": "hashes bytes, whatever they are",
    "ace_core/dataset/recordings.py": "dataset a.flac",
    "ace_core/dataset/samples.py": "sample, manifest",
    "ace_core/files.py": _OWN,
    "ace_core/music_box/files.py": _OWN,
    "ace_core/song_files/encoding.py": "song flac",
    "ace_core/song_files/stars.py": "star wav",
    "ace_core/terminal/plan_options.py": "blueprint, lyrics ultrastar",
    "ace_core/training/config.py": "training config",
    "ace_core/training/results.py": _OWN,
    "ace_core/training/run_state.py": "state",
    "nodes/plan/files.py": "blueprint",
}


_LONG = 200_000
ATTACKS: tuple[tuple[str, str], ...] = (  # texts that once took minutes or gigabytes, see `song.chatter`
    *(
        ("dataset a.txt", begin + piece * _LONG)
        for begin in ("", "<caption>")
        for piece in (" ", "\n", "<a>", "<think>")
    ),
    *(("dataset a.ass", COMPANIONS["a.ass"] + piece * _LONG) for piece in ("{", "{\\p1}", "\n")),
    *(("dataset a.vtt", COMPANIONS["a.vtt"] + piece * _LONG + "x") for piece in (" ", "{\\", "&#9")),
    ("dataset a.vtt", COMPANIONS["a.vtt"] + "&#" + "9" * 10_000),
    ("dataset a.ttml", "<tt><body>" + "<p>" * _LONG + "</p>" * _LONG + "</body></tt>"),
    ("dataset a.lrc", "[0:1]" * _LONG + "a" * 400_000),
    ("dataset a.lrc", "[0:1]a\n[0:1]\u3042\n[0:2]a\n[0:2]\u3042\n" + "b\n" * 100_000),
    ("dataset a.lrc", "[0:1]a\n[bg:" + " " * _LONG + "x\n[0:2]b"),
    *(("blueprint", piece * _LONG) for piece in ("<think>", "~~~a\n", "{", "x\n\nlet me know if ")),
    ("lyrics ultrastar", "\n\nlet me know if" + " " * _LONG + "\nx"),
    ("lyrics ultrastar", "[a]" + " " * _LONG + "x"),
)


def write_originals(folder: Path) -> None:
    """One good file of each kind."""
    torch.manual_seed(0)
    write_tiny(folder / "comfyui", "comfyui")
    for layout in ("official", "official_sharded", "diffusers"):
        write_tiny(folder / layout.removeprefix("official_"), layout)
    write_tiny_planner(folder, "official").rename(folder / "planner")
    for name in ("lora", "loras", "oft", "plans", "songs", "lyrics", "labels", "training", "state", "vocabulary"):
        (folder / name).mkdir()
    _write_vocabulary(folder / "vocabulary")
    _write_adapters(folder)
    plan = Blueprint(caption="rock", lyrics="[Verse]\nla", bpm=120, key="A minor", duration_seconds=10.0)
    record = SongRecord(plan, seeds={"render": 1}, settings={"steps": 8}, scores={"total": 0.5}, lrc="[00:01.00]la")
    noise = 0.1 * torch.randn(2, SONG_SECONDS * 48_000)
    for suffix, encoding in ENCODED.items():
        path = folder / "songs" / f"song.{suffix}"
        write_song(path, Sound(noise, 48_000), ENCODINGS[encoding], record, title="song")
    texts: dict[str, str] = {
        "plans/plan.json": blueprints_to_json([plan]),
        "plans/official.json": json.dumps(OFFICIAL_PLAN),
        "plans/record.json": record_to_json(record),
        "labels/labels.json": COMPANIONS["all.json"],
        "training/run.toml": TRAINING,
        **{f"lyrics/{name}.txt": lyrics for name, lyrics in LYRICS.items()},
        **{f"dataset {name}/{name}": content for name, content in COMPANIONS.items()},
    }
    clip = Sound(0.5 * torch.sin(torch.arange(CLIP_SECONDS * 16_000)[None] / 10), 16_000)
    for kind in KINDS.values():
        if kind.read in (dataset, labels):
            place = folder / kind.place
            place.parent.mkdir(exist_ok=True)
            write_song(place.with_name("a.flac"), clip, ENCODINGS["flac 16 bit"], record)
    for place_of_text, content in texts.items():
        (folder / place_of_text).write_text(content, encoding="utf-8")
    torch.save({"latents": torch.ones(4, 64), "metadata": LISTED}, folder / "dataset a.pt" / "a.pt")
    save_state(folder / "state" / "state.safetensors", RunState(1, [1.0], {"a": torch.ones(3)}))
    write_random_data(folder / "data")
    next((folder / "data").glob("*.safetensors")).rename(folder / "data" / SAMPLE)
    for kind in KINDS.values():  # a song that is skipped would be no test of what lies beside it
        assert kind.read is not dataset or len(dataset(folder / kind.place).clips) == 1, kind.place


def _write_vocabulary(folder: Path) -> None:
    trained = json.loads(tiny_tokenizer().to_str())["model"]
    plain = {token: number for token, number in trained["vocab"].items() if not token.startswith("<|")}
    (folder / "vocab.json").write_text(json.dumps(plain), encoding="utf-8")
    merges = "\n".join(" ".join(pair) for pair in trained["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")


def _write_adapters(folder: Path) -> None:
    module = "base_model.model.layers.0.self_attn.q_proj"
    tensors = {f"{module}.lora_A.weight": torch.ones(4, 64), f"{module}.lora_B.weight": torch.ones(64, 4)}
    save_file(tensors, folder / "lora" / "adapter_model.safetensors", {"lora_adapter_metadata": '{"transformer.r": 4}'})
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "alpha_pattern": {"q_proj": 2}, "rank_pattern": {"k": 2}}
    (folder / "lora" / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file({f"{module}.oft_R.weight": torch.ones(16, 6)}, folder / "oft" / "adapter_model.safetensors")
    rotation = {"peft_type": "OFT", "r": 16, "coft": True, "eps": 0.5, "num_cayley_neumann_terms": 5}
    (folder / "oft" / "adapter_config.json").write_text(json.dumps(rotation), encoding="utf-8")
    blocks = {f"{module}.oft_blocks": torch.ones(8, 8, 8), f"{module}.rescale": torch.ones(64, 1)}
    save_file({**blocks, f"{module}.alpha": torch.tensor(0.1)}, folder / "oft" / "lycoris.safetensors")
    small = random_lora({"layers.0.self_attn.q_proj": (64, 64), "layers.1.cross_attn.v_proj": (32, 64)})
    for style in ("diffusers", "kohya", "lycoris"):
        STYLES[style](folder / "loras" / f"{style}.safetensors", small)
