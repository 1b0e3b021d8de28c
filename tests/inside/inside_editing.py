"""Runs the editing nodes inside a ComfyUI's own Python modules, where samples are compared before a file rounds them.

    python tests/inside/inside_editing.py COMFYUI BASE_DIRECTORY

Reports what was found as JSON; tests/host/test_editing_inside.py says what it should be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

import torch
from inside_comfyui import execute, load_models, main, node_output, pack_module
from music import band
from torch import Tensor

BASE = "diffusion_models/acestep_v1.5_base.safetensors"
RATE = 48_000
SECONDS = 6.0
SAMPLES = int(SECONDS * RATE)
FADE_SAMPLES = {"conservative": 2400, "balanced": 1200, "aggressive": 480}
TRACK_TASKS = ("AceComposerExtract", "AceComposerLego", "AceComposerComplete", "AceComposerVocalToBacking")


@lru_cache
def models(kind: str) -> tuple[Any, Any, Any]:
    return load_models(BASE) if kind == "base" else load_models()


def audio(*waveforms: Tensor, rate: int = RATE) -> dict[str, Any]:
    return {"waveform": torch.stack(waveforms), "sample_rate": rate}


@lru_cache
def clip(seconds: float = SECONDS, key: str = "A minor", rate: int = RATE, channels: int = 2) -> Tensor:
    """A recording [channels, samples] of the small synthesiser."""
    return torch.from_numpy(band(seconds, key=key, sample_rate=rate, channels=channels).mix)


def plan(**fields: Any) -> Any:
    return pack_module("ace_core.song.blueprint").Blueprint(**{"caption": "slow rock", **fields})


def make(class_name: str, recording: dict[str, Any] | None = None, **inputs: Any) -> Any:
    """The task, or timbre, of a node with its defaults."""
    node = node_class(class_name)
    widgets = {widget.id: widget.default for widget in node.define_schema().inputs if hasattr(widget, "default")}
    chosen = {name: value for name, value in widgets.items() if value is not None} | inputs
    (result,) = execute(
        class_name,
        vae=models("turbo")[2],
        audio=audio(clip()) if recording is None else recording,
        **chosen,
    )
    return result


def node_class(class_name: str) -> Any:
    return getattr(pack_module("nodes"), class_name)


def render(
    task: Any = None,
    *,
    kind: str = "turbo",
    plans: Sequence[Any] | None = None,
    retake: tuple[int, float] | None = None,
    seed: int = 5,
    batch_size: int = 1,
    **encoder: Any,
) -> dict[str, Any]:
    """The LATENT of the path from a task to Sample; without a task, of a 10 s song."""
    model, text_encoder, _ = models(kind)
    blueprint = tuple(plans or [plan(duration_seconds=None if task else 10)])
    inputs = {"model": model, "text_encoder": text_encoder, "blueprint": blueprint, "task": task, **encoder}
    (conditioning,) = execute("AceComposerEncode", **inputs)
    if retake is not None:
        variation = {"seed": retake[0], "strength": retake[1]}
        (conditioning,) = execute("AceComposerRetake", conditioning=conditioning, **variation)
    sampler = {"steps": 4, "shift": 0.0, "guidance": 2.0 if kind == "base" else 0.0, "solver": "euler"}
    sampler |= {"seed": seed, "batch_size": batch_size}
    (latent,) = execute("AceComposerSample", model=model, conditioning=conditioning, **sampler)
    return latent


def latents(task: Any = None, **options: Any) -> Tensor:
    return render(task, **options)["samples"]


def song(task: Any = None, *, normalize: bool = False, **options: Any) -> Tensor:
    """Waveforms of the whole path to Decode."""
    decoder = {"vae": models("turbo")[2], "latent": render(task, **options), "normalize": normalize, "task": task}
    (decoded,) = execute("AceComposerDecode", **decoder)
    return decoded["waveform"]


def difference(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def raised(run: Callable[[], object]) -> str:
    """What a run that must fail says."""
    try:
        run()
    except ValueError as error:
        return str(error)
    return "nothing"


def spans_kept(source: Tensor, result: Tensor, changed: Sequence[tuple[float, float]], fade: int) -> list[bool]:
    """For each stretch of samples between the changed seconds, their fades apart: whether it is the source's."""
    edges = [0]
    for start, end in changed:
        edges += [round(start * RATE) - fade, round(end * RATE) + fade]
    edges.append(source.shape[-1])
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return [torch.equal(result[:, start:end], source[:, start:end]) for start, end in pairs if start < end]


# Cases


def repaint() -> dict[str, Any]:
    """Each mode, at the default strength, with two regions."""
    parts = [(2.0, 3.0), (4.0, 4.5)]
    results = {
        mode: song(make("AceComposerRepaint", start=2.0, end=3.0, more_regions="4-4.5", mode=mode))[0]
        for mode in FADE_SAMPLES
    }
    inside = [slice(round(start * RATE), round(end * RATE)) for start, end in parts]
    return {
        "shape": [list(result.shape) for result in results.values()],
        "kept": {mode: spans_kept(clip(), result, parts, FADE_SAMPLES[mode]) for mode, result in results.items()},
        "inside": [difference(results["balanced"][:, part], clip()[:, part]) for part in inside],
        "modes": [difference(one, other) for one, other in pairwise(results.values())],
    }


def repaint_strength() -> dict[str, Any]:
    """Strength 0 is the conservative mode, 1 the aggressive one."""

    def result(**options: Any) -> Tensor:
        return song(make("AceComposerRepaint", start=2.0, end=3.0, **options))

    return {
        "0": torch.equal(result(strength=0.0), result(mode="conservative")),
        "1": torch.equal(result(strength=1.0), result(mode="aggressive")),
        "0.5": difference(result(strength=0.5), result(strength=0.0)),
    }


def repaint_of_other_rates() -> dict[str, Any]:
    """Mono at 44.1 kHz whose length is no whole number of latent frames."""
    recording = clip(3.003, rate=44_100, channels=1)
    resampled = pack_module("ace_core.audio.waveform").resample(recording[None], 44_100)[0].expand(2, -1)
    result = song(make("AceComposerRepaint", audio(recording, rate=44_100), start=1.0, end=0.0))[0]
    return {
        "shape": list(result.shape),
        "wanted": list(resampled.shape),
        "kept": spans_kept(resampled, result, [(1.0, resampled.shape[-1] / RATE)], FADE_SAMPLES["balanced"]),
        "end": difference(result[:, -RATE // 10 :], resampled[:, -RATE // 10 :]),
    }


def loud_recordings_keep_their_level() -> dict[str, Any]:
    """Above full scale, and with Decode told to normalise."""
    recording = 1.7 * clip()
    result = song(make("AceComposerRepaint", audio(recording), start=2.0, end=3.0), normalize=True)[0]
    return {"kept": spans_kept(recording, result, [(2.0, 3.0)], FADE_SAMPLES["balanced"])}


def regions() -> dict[str, Any]:
    """The same part of the song as seconds, bars and a mask."""
    bars = {"unit": "bars", "start": 2.0, "end": 3.0, "blueprint": (plan(bpm=120, time_signature=4),)}
    mask = torch.zeros(1, 16, 60)
    mask[0, 8, 20:40] = 1
    masked = {"start": 0.0, "end": 1.0, "more_regions": "5-6", "mask": mask}
    options = {"seconds": {"start": 2.0, "end": 4.0}, "bars": bars, "mask": masked}
    tasks = {name: make("AceComposerRepaint", **inputs) for name, inputs in options.items()}
    vae = models("turbo")[2]
    widgets = {"unit": "seconds", "mode": "balanced", "strength": 0.5}
    shown = node_output("AceComposerRepaint", vae=vae, audio=audio(clip()), **widgets, **masked)
    two = make("AceComposerRepaint", audio(clip(), clip()), mask=torch.stack((mask[0], mask[0].flip(-1).roll(10))))
    return {
        "frames": {name: task.songs[0].regions for name, task in tasks.items()},
        "text": shown.ui["text"][0],
        "a mask for each": [item.regions for item in two.songs],
    }


def extend() -> dict[str, Any]:
    """Before, after and both; lengths that are no whole number of latent frames."""
    result = {}
    for before, after in ((1.5, 0.0), (0.0, 2.33), (1.0, 1.0)):
        extended = song(make("AceComposerExtend", before_seconds=before, after_seconds=after))[0]
        start, fade = round(before * RATE), 2400
        first, last = (fade if before else 0), SAMPLES - (fade if after else 0)
        new = extended[:, :start], extended[:, start + SAMPLES :]
        result[f"{before} and {after}"] = {
            "seconds": extended.shape[-1] / RATE,
            "kept": torch.equal(extended[:, start + first : start + last], clip()[:, first:last]),
            "new": [float(part.abs().max()) for part in new if part.numel()],
        }
    return result


def extend_beyond_600_s() -> dict[str, Any]:
    """A recording longer than what the model hears; only its end is rendered."""
    recording = clip(601.5, rate=8_000).repeat_interleave(6, dim=-1)
    task = make("AceComposerExtend", audio(recording), after_seconds=2.0, context_seconds=30.0)
    result = song(task)[0]
    samples = recording.shape[-1]
    return {
        "rendered": task.songs[0].duration_seconds,
        "seconds": result.shape[-1] / RATE,
        "kept": torch.equal(result[:, : samples - 2400], recording[:, : samples - 2400]),
        "new": float(result[:, samples:].abs().max()),
    }


def cover() -> dict[str, Any]:
    """How far every option changes the cover, and whether the recording matters."""
    options = {"strength": {"strength": 0.5}, "noise": {"noise_strength": 0.5}, "latents": {"structure": "latents"}}
    plain = latents(make("AceComposerCover"))
    other = audio(clip(key="D major"))
    without = [latents(make("AceComposerCover", recording, strength=0.0)) for recording in (audio(clip()), other)]
    return {
        "shape": list(plain.shape),
        "changed": {
            name: difference(latents(make("AceComposerCover", **chosen)), plain) for name, chosen in options.items()
        },
        "another recording": difference(latents(make("AceComposerCover", other)), plain),
        "another recording at strength 0": difference(*without),
        "peak": float(song(make("AceComposerCover"), normalize=True).abs().max()),
    }


def tracks() -> dict[str, Any]:
    """Stems in order, and what tells the tasks apart."""
    extracted = latents(make("AceComposerExtract", drums=True, bass=True), kind="base")
    others = {name: latents(make(name), kind="base") for name in TRACK_TASKS}
    in_part = latents(make("AceComposerLego", regions="1-2"), kind="base")
    return {
        "stems differ": [difference(extracted[index], extracted[index - 1]) for index in range(3)],
        "alone": difference(others["AceComposerExtract"][0], extracted[0]),
        "tasks differ": [difference(one, other) for one, other in pairwise(others.values())],
        "lego in part": difference(in_part, others["AceComposerLego"]),
        "turbo": {name: raised(partial(render, make(name))) for name in TRACK_TASKS},
    }


def picked_stems() -> dict[str, Any]:
    """Two recordings, three tracks each."""
    recordings = audio(clip(), clip(key="D major"))
    task = make("AceComposerExtract", recordings, drums=True, bass=True)
    stems = {"waveform": torch.arange(6.0)[:, None, None].expand(6, 2, RATE), "sample_rate": RATE}

    def pick(track: str, item: int, batch: int = 6) -> float:
        chosen = {**stems, "waveform": stems["waveform"][:batch]}
        (stem,) = execute("AceComposerPickStem", audio=chosen, task=task, track=track, item=item)
        return float(stem["waveform"].mean())

    return {
        "tracks": [item.tracks for item in task.songs],
        "picked": [pick("vocals", 1), pick("bass", 1), pick("drums", 2), pick("bass", 2)],
        "not extracted": raised(partial(pick, "guitar", 1)),
        "no such item": raised(partial(pick, "drums", 3)),
        "another batch": raised(partial(pick, "drums", 1, batch=5)),
    }


def timbre() -> dict[str, Any]:
    """Reference audio with every kind of song: what it changes, and that the length stays."""
    one = make("AceComposerReferenceAudio", audio(clip(2.0, "D major")))
    two = make("AceComposerReferenceAudio", audio(clip(2.0, "E minor")), timbre=one)
    both = make("AceComposerReferenceAudio", audio(clip(2.0, "D major"), clip(2.0, "E minor")))
    coded = plan(duration_seconds=10, audio_codes=tuple(range(50)))
    songs: dict[str, tuple[Any, dict[str, Any]]] = {
        "text": (None, {}),
        "codes": (None, {"plans": [coded]}),
        "cover": (make("AceComposerCover", strength=0.5), {}),
        "repaint": (make("AceComposerRepaint", start=2.0, end=3.0), {}),
        "extend": (make("AceComposerExtend", after_seconds=1.0), {}),
    }
    songs |= {name: (make(name), {"kind": "base"}) for name in TRACK_TASKS}
    result: dict[str, Any] = {"changed": {}, "same length": {}}
    for name, (task, options) in songs.items():
        plain, referenced = render(task, **options), render(task, timbre=one, **options)
        result["changed"][name] = difference(plain["samples"], referenced["samples"])
        result["same length"][name] = plain["sample_counts"] == referenced["sample_counts"]
    result["a second reference"] = difference(latents(timbre=two), latents(timbre=one))
    result["as a batch"] = difference(latents(timbre=two), latents(timbre=both))

    long = audio(clip(40.0, "G major"))
    seeded = [make("AceComposerReferenceAudio", long, windows="seeded", seed=seed) for seed in (1, 1, 2)]
    references = [item.references[0] for item in (*seeded, make("AceComposerReferenceAudio", long))]
    result["seeds"] = [difference(references[0], other) for other in references[1:]]
    return result


def retake() -> dict[str, Any]:
    plain, other = latents(seed=5), latents(seed=9)
    batch = latents(seed=5, batch_size=2, retake=(9, 0.3))
    task = make("AceComposerRepaint", start=2.0, end=3.0)
    again = {
        "conditioning": pack_module("ace_core.stages.encode").AceConditioning((), (1, 0.5)),
        "seed": 1,
        "strength": 0.5,
    }
    return {
        "0": difference(latents(retake=(9, 0.0)), plain),
        "0.3": difference(latents(retake=(9, 0.3)), plain),
        "1": difference(latents(retake=(9, 1.0)), other),
        "of a batch": difference(batch[1], latents(seed=6, retake=(10, 0.3))[0]),
        "of a repaint": difference(latents(task, retake=(9, 0.3)), latents(task)),
        "twice": raised(partial(execute, "AceComposerRetake", **again)),
    }


def batches() -> dict[str, Any]:
    """Several recordings with one plan, several plans with one recording, one of each, and numbers that do not fit."""
    clips = [clip(), clip(key="D major")]
    plans = [plan(), plan(caption="fast techno")]
    both, first = make("AceComposerCover", audio(*clips)), make("AceComposerCover", audio(clips[0]))
    second = make("AceComposerCover", audio(clips[1]))
    repainted = song(make("AceComposerRepaint", audio(*clips), start=2.0, end=3.0))
    cases = {"recordings": (both, plans[:1]), "plans": (first, plans), "one of each": (both, plans)}
    alone = {
        "recordings": [(first, plans[0]), (second, plans[0])],
        "plans": [(first, plans[0]), (first, plans[1])],
        "one of each": [(first, plans[0]), (second, plans[1])],
    }
    return {
        "differences": {
            name: [
                difference(latents(task, plans=chosen)[item], latents(single, plans=[words], seed=5 + item)[0])
                for item, (single, words) in enumerate(alone[name])
            ]
            for name, (task, chosen) in cases.items()
        },
        "repeated": difference(latents(first, batch_size=2)[1], latents(first, seed=6)[0]),
        "kept": [
            spans_kept(source, result, [(2.0, 3.0)], FADE_SAMPLES["balanced"])
            for source, result in zip(clips, repainted, strict=True)
        ],
        "2 and 3": raised(partial(render, both, plans=[*plans, plan()])),
    }


def mixed() -> dict[str, Any]:
    music = band(2.0)
    stems = {name: torch.from_numpy(stem) for name, stem in music.stems.items()}

    def mix(*recordings: dict[str, Any] | None, **changes: Any) -> tuple[Tensor, str]:
        node = node_class("AceComposerMix")
        widgets = {item.id: item.default for item in node.define_schema().inputs if hasattr(item, "default")}
        inputs = {f"audio_{number}": recording for number, recording in enumerate(recordings, 1)}
        chosen = {name: value for name, value in widgets.items() if value is not None}
        output = node_output("AceComposerMix", **chosen | inputs | changes)
        return output.args[0]["waveform"], output.ui["text"][0]

    four = [audio(stem) for stem in stems.values()]
    plain, text = mix(*four)
    loud, loud_text = mix(*four, gain_db_1=20.0)
    muted, _ = mix(*four, mute_2=True)
    left, _ = mix(four[0], pan_1=-1.0)
    low = audio(clip(2.0, rate=16_000, channels=1), rate=16_000)
    short, _ = mix(audio(stems["drums"]), low)
    return {
        "sum": difference(plain[0], torch.from_numpy(music.mix)),
        "text": text,
        "loud": [float(loud.abs().max()), loud_text],
        "without the second": difference(muted[0], sum(stem for name, stem in stems.items() if name != "bass")),
        "left": [float(left[0, side].abs().max()) for side in (0, 1)],
        "other rates": list(short.shape),
        "all muted": raised(partial(mix, four[0], mute_1=True)),
        "none": raised(partial(mix, None)),
        "pan": raised(partial(mix, four[0], pan_1=2.0)),
    }


def refusals() -> dict[str, str]:
    """What the nodes say to audio and options that nothing can be made of."""
    broken = clip().clone()
    broken[0, 100] = math.nan
    silent = torch.zeros(2, SAMPLES)
    bad = {
        "silent": audio(clip(), silent),
        "short": audio(clip()[:, :1000]),
        "NaN": audio(broken),
        "surround": audio(torch.ones(6, SAMPLES)),
        "empty": audio(torch.zeros(2, 0)),
    }
    found = {name: raised(partial(make, "AceComposerCover", recording)) for name, recording in bad.items()}
    model, text_encoder, vae = models("turbo")
    cover = {"strength": 1.0, "noise_strength": 0.0, "structure": "codes"}
    found["none"] = raised(partial(execute, "AceComposerCover", vae=vae, audio=None, **cover))
    options: dict[str, tuple[str, dict[str, Any]]] = {
        "no tracks": ("AceComposerExtract", {"vocals": False}),
        "no tracks to add": ("AceComposerComplete", {"drums": False, "bass": False}),
        "end before start": ("AceComposerRepaint", {"start": 3.0, "end": 2.0}),
        "start after the end": ("AceComposerRepaint", {"start": 7.0, "end": 8.0}),
        "regions": ("AceComposerRepaint", {"start": 1.0, "end": 2.0, "more_regions": "3 and 4"}),
        "bars without a plan": ("AceComposerRepaint", {"unit": "bars"}),
        "bars without a tempo": ("AceComposerRepaint", {"unit": "bars", "blueprint": (plan(),)}),
        "empty mask": ("AceComposerRepaint", {"mask": torch.zeros(1, 4, 4)}),
        "masks": ("AceComposerRepaint", {"mask": torch.ones(3, 4, 4)}),
        "unit": ("AceComposerRepaint", {"unit": "beats"}),
        "mode": ("AceComposerRepaint", {"start": 2.0, "end": 3.0, "mode": "magic"}),
        "structure": ("AceComposerCover", {"structure": "magic"}),
        "windows": ("AceComposerReferenceAudio", {"windows": "magic"}),
        "genre": ("AceComposerVocalToBacking", {"genre": "magic"}),
        "more tracks": ("AceComposerVocalToBacking", {"more_tracks": "kazoo"}),
        "lego's track": ("AceComposerLego", {"track": "kazoo"}),
        "lego's regions": ("AceComposerLego", {"regions": "7-8"}),
        "nothing to add": ("AceComposerExtend", {"after_seconds": 0.0}),
        "too much to add": ("AceComposerExtend", {"before_seconds": 300.0, "after_seconds": 300.0}),
    }
    found |= {name: raised(partial(make, node, **inputs)) for name, (node, inputs) in options.items()}

    task = make("AceComposerCover")
    found["codes and a task"] = raised(partial(render, task, plans=[plan(audio_codes=(1, 2, 3) * 20)]))
    encoder = {"model": model._replace(audio_tokenizer=None), "text_encoder": text_encoder, "blueprint": (plan(),)}
    found["no audio tokenizer"] = raised(partial(execute, "AceComposerEncode", **encoder, task=task))
    for name, items, frames, recordings in (("another task", 1, 200, 1), ("another number", 3, 150, 2)):
        latent = {"samples": torch.randn(items, 64, frames), "type": "audio"}
        repainted = make("AceComposerRepaint", audio(*[clip()] * recordings), start=2.0, end=3.0)
        decoder = {"vae": vae, "latent": latent, "normalize": False, "task": repainted}
        found[name] = node_output("AceComposerDecode", **decoder).ui["text"][0]
    return found


def short_sources() -> dict[str, Any]:
    """Below the model's 128 frames: as long as the recording, and a start for the sampler."""
    recording = clip(1.01)
    task = make("AceComposerCover", audio(recording))
    model, text_encoder, _ = models("turbo")
    encoder = {"model": model, "text_encoder": text_encoder, "blueprint": (plan(),), "task": task}
    (conditioning,) = execute("AceComposerEncode", **encoder)
    sampler = {"model": model, "conditioning": conditioning, "seed": 1, "batch_size": 1, "shift": 0.0, "guidance": 0.0}
    (latent,) = execute("AceComposerSample", **sampler, steps=2, solver="euler")
    (again,) = execute("AceComposerSample", **sampler, steps=2, solver="euler", latent=latent, denoise=0.5)
    return {
        "samples": song(task).shape[-1],
        "wanted": recording.shape[-1],
        "frames": [latent["samples"].shape[-1], again["samples"].shape[-1]],
        "codes": len(conditioning.songs[0].source),
    }


CASES = (
    repaint,
    repaint_strength,
    repaint_of_other_rates,
    loud_recordings_keep_their_level,
    regions,
    extend,
    extend_beyond_600_s,
    cover,
    tracks,
    picked_stems,
    timbre,
    retake,
    batches,
    mixed,
    refusals,
    short_sources,
)

if __name__ == "__main__":
    main(CASES)
