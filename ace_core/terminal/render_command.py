"""`render`: songs from plans.

A song file holds what Save Song writes, so Load Song reads it. On one machine with one number of threads the samples
equal those of the nodes to the bit.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

from ..audio.finishing import Finish
from ..audio.waveform import SAMPLE_RATE
from ..checks import spread
from ..sampling.guidance import GUIDANCE
from ..sampling.noise import NOISE_KINDS
from ..sampling.options import OFFERED, WAVELET_CORRECTIONS, SamplerOptions, resolve
from ..sampling.solvers import SOLVERS
from ..song.fields import MAX_BATCH_SIZE
from ..song_files.encoding import ENCODINGS, Encoding, Sound
from ..song_files.files import write_song
from ..stages.decode import decode_songs, finish_songs
from ..stages.encode import encode_songs
from ..stages.render import new_take, render_songs, take_notes
from .console import Console
from .model_options import add_model_options, networks_of, song_models
from .models_folder import find_models
from .output_files import add_overwrite_option, prepare_outputs
from .plan_options import add_plan_options, plans_of

SAMPLER_FIELDS = [field for field in fields(SamplerOptions) if field.name != "denoise"]  # of a song made from another
FINISH_FIELDS = [field for field in fields(Finish) if field.name != "normalize"]
LATENT_OPTIONS = {"latent_shift": 0.0, "latent_rescale": 1.0}
SAMPLER_CHOICES: Mapping[str, Sequence[str]] = {
    "solver": tuple(SOLVERS),
    "guidance_method": tuple(GUIDANCE),
    "wavelet_correction": WAVELET_CORRECTIONS,
    "noise": NOISE_KINDS,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    add_plan_options(parser)
    add_model_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--out", type=Path, required=True, metavar="SONG.flac", help="flac, wav, mp3, opus or m4a")
    output.add_argument("--encoding", choices=list(ENCODINGS), help="default: the best of the file's format")
    add_overwrite_option(output)
    output.add_argument("--title", default="", help="what players show")
    output.add_argument("--no-normalize", action="store_true", help="keep the level instead of a peak of -1 dBFS")
    for field in FINISH_FIELDS:
        output.add_argument(_option(field), type=float, default=field.default, metavar="VALUE")
    for name, default in LATENT_OPTIONS.items():
        output.add_argument("--" + name.replace("_", "-"), type=float, default=default, metavar="VALUE")
    sampler = parser.add_argument_group(
        "sampler", "As on the Sample node; 0 for steps, shift and guidance is the default of the model's variant."
    )
    sampler.add_argument("--seed", type=int, default=0)
    sampler.add_argument("--batch", type=int, default=1, metavar="N", help=f"versions of a song, 1 to {MAX_BATCH_SIZE}")
    sampler.add_argument(
        "--codes-strength", type=float, default=1.0, metavar="SHARE", help="share of the steps that follow audio codes"
    )
    sampler.add_argument("--instruction", default="", metavar="LINE", help="in place of the model's own; for experts")
    for field in SAMPLER_FIELDS:
        name, default = _option(field), getattr(OFFERED, field.name)
        if isinstance(default, bool):
            sampler.add_argument(name, action=argparse.BooleanOptionalAction, default=default)
        elif field.name in SAMPLER_CHOICES:
            sampler.add_argument(name, default=default, choices=SAMPLER_CHOICES[field.name])
        else:
            sampler.add_argument(name, type=type(default), default=default, metavar="VALUE")


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Render the songs of the options and write them; prints the paths.

    Raises:
        ValueError: what is asked for cannot be done.
        OSError: a file that cannot be read or written.
    """
    encoding = _encoding(options)
    if not 1 <= options.batch <= MAX_BATCH_SIZE:
        raise ValueError(f"--batch must be 1 to {MAX_BATCH_SIZE}, got {options.batch}")
    finish = Finish(not options.no_normalize, **{field.name: getattr(options, field.name) for field in FINISH_FIELDS})
    plans = plans_of(options, console)
    paths = _output_paths(options, max(len(plans), options.batch))
    networks = networks_of(options, console)
    model, text_encoder, vae = song_models(networks, find_models(options.models), options, console)
    sampler = SamplerOptions(**{field.name: getattr(options, field.name) for field in SAMPLER_FIELDS})
    resolved = resolve(sampler, model.variant)
    started = time.monotonic()
    console.stage("encode")
    encoded = encode_songs(
        networks, model, text_encoder, plans, codes_strength=options.codes_strength, instruction=options.instruction
    )
    take = new_take(encoded.conditioning, sampler, options.seed, options.batch)
    for line in (*encoded.notes, *take_notes(take, resolved)):
        console.note(line)
    console.stage("render")
    rendered = render_songs(networks, model, take, resolved)
    console.stage("decode")
    changes = {name: getattr(options, name) for name in LATENT_OPTIONS}
    waveforms = decode_songs(networks, vae, rendered.latents, rendered.samples, **changes)
    waveforms, remarks = finish_songs(waveforms, rendered.samples, finish)
    for line in remarks:
        console.note(line)
    seconds = time.monotonic() - started
    for index, (path, plan) in enumerate(zip(paths, spread(plans, len(paths), "plans"), strict=True)):
        sound = Sound(waveforms[index, :, : rendered.samples[index]], SAMPLE_RATE)
        record = replace(rendered.records[index], blueprint=plan)
        for note in write_song(path, sound, encoding, record, title=options.title):
            console.note(note)
        console.result(str(path))
    return {
        "files": [str(path) for path in paths],
        "seeds": list(take.seeds),
        "settings": resolved.summary,
        "seconds": round(seconds, 3),
    }


def _option(field: Field[Any]) -> str:
    return "--" + field.name.replace("_", "-")


def _encoding(options: argparse.Namespace) -> Encoding:
    """The chosen encoding, or the best one of the file's format."""
    wanted = options.out.suffix.lower().removeprefix(".")
    formats = list(dict.fromkeys(encoding.container for encoding in ENCODINGS.values()))
    if wanted not in formats:
        raise ValueError(f"--out must end in one of {', '.join(formats)}; got {options.out.name!r}")
    if options.encoding is None:
        return next(encoding for encoding in ENCODINGS.values() if encoding.container == wanted)
    chosen = ENCODINGS[options.encoding]
    if chosen.container != wanted:
        raise ValueError(f"--encoding {options.encoding} makes a {chosen.container} file, but --out is {options.out}")
    return chosen


def _output_paths(options: argparse.Namespace, count: int) -> list[Path]:
    """The path, or one for each of several songs (name_1.flac, name_2.flac, ...), in a folder that exists."""
    path: Path = options.out
    paths = [path] if count == 1 else [path.with_stem(f"{path.stem}_{number}") for number in range(1, count + 1)]
    prepare_outputs(paths, overwrite=options.overwrite)
    return paths
