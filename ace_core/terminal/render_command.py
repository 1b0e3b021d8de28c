"""`render`: songs from plans.

A song file holds what Save Song writes, so Load Song reads it. On one machine with one number of threads the samples
equal those of the nodes to the bit.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..audio.waveform import SAMPLE_RATE
from ..checks import spread
from ..sampling.guidance import GUIDANCE
from ..sampling.options import SamplerOptions, resolve
from ..sampling.solvers import SOLVERS
from ..song.fields import MAX_BATCH_SIZE
from ..song_files.encoding import ENCODINGS, Encoding, Sound
from ..song_files.files import write_song
from ..stages.decode import decode_songs, finish_songs
from ..stages.encode import encode_songs
from ..stages.render import new_take, render_songs
from .console import Console
from .model_options import add_model_options, networks_of, song_models
from .models_folder import find_models
from .output_files import add_overwrite_option, prepare_outputs
from .plan_options import add_plan_options, plans_of

SAMPLER_FIELDS = [field for field in fields(SamplerOptions) if field.name != "denoise"]  # of a song made from another
SAMPLER_CHOICES: Mapping[str, Sequence[str]] = {"solver": tuple(SOLVERS), "guidance_method": tuple(GUIDANCE)}


def add_options(parser: argparse.ArgumentParser) -> None:
    add_plan_options(parser)
    add_model_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--out", type=Path, required=True, metavar="SONG.flac", help="flac, wav, mp3 or opus")
    output.add_argument("--encoding", choices=list(ENCODINGS), help="default: the best of the file's format")
    add_overwrite_option(output)
    output.add_argument("--title", default="", help="what players show")
    output.add_argument("--no-normalize", action="store_true", help="keep the level instead of a peak of -1 dBFS")
    sampler = parser.add_argument_group(
        "sampler", "As on the Sample node; 0 for steps, shift and guidance is the default of the model's variant."
    )
    sampler.add_argument("--seed", type=int, default=0)
    sampler.add_argument("--batch", type=int, default=1, metavar="N", help=f"versions of a song, 1 to {MAX_BATCH_SIZE}")
    sampler.add_argument(
        "--codes-strength", type=float, default=1.0, metavar="SHARE", help="share of the steps that follow audio codes"
    )
    for field in SAMPLER_FIELDS:
        name = "--" + field.name.replace("_", "-")
        if isinstance(field.default, bool):
            sampler.add_argument(name, action="store_true")
        elif field.name in SAMPLER_CHOICES:
            sampler.add_argument(name, default=field.default, choices=SAMPLER_CHOICES[field.name])
        else:
            sampler.add_argument(name, type=type(field.default), default=field.default, metavar="VALUE")


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Render the songs of the options and write them; prints the paths.

    Raises:
        ValueError: what is asked for cannot be done.
        OSError: a file that cannot be read or written.
    """
    encoding = _encoding(options)
    if not 1 <= options.batch <= MAX_BATCH_SIZE:
        raise ValueError(f"--batch must be 1 to {MAX_BATCH_SIZE}, got {options.batch}")
    plans = plans_of(options)
    paths = _output_paths(options, max(len(plans), options.batch))
    networks = networks_of(options, console)
    model, text_encoder, vae = song_models(networks, find_models(options.models), options, console)
    sampler = SamplerOptions(**{field.name: getattr(options, field.name) for field in SAMPLER_FIELDS})
    resolved = resolve(sampler, model.variant)
    started = time.monotonic()
    console.stage("encode")
    encoded = encode_songs(networks, model, text_encoder, plans, codes_strength=options.codes_strength)
    take = new_take(encoded.conditioning, sampler, options.seed, options.batch)
    for line in (*encoded.notes, *take.notes, resolved.summary, *resolved.notes):
        console.note(line)
    console.stage("render")
    rendered = render_songs(networks, model, take, resolved)
    console.stage("decode")
    waveforms = decode_songs(networks, vae, rendered.latents, rendered.samples)
    waveforms = finish_songs(waveforms, rendered.samples, normalize=not options.no_normalize)
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
