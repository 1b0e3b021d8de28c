"""`render`, `plan` and `understand`: songs from plans, plans from ideas, plans from recordings.

A song file holds what Save Song writes, so Load Song in ComfyUI and `render` here read each other's. On one machine with
one number of threads the samples equal those of the nodes to the bit.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

import torch

from ..checkpoints import kinds
from ..checkpoints.inspection import inspect_model
from ..checkpoints.variants import VARIANTS, Variant
from ..files import write_whole
from ..loaded import AceModel, AcePlanner, AceTextEncoder, AceVae
from ..lora.adapters import AppliedAdapter, Strengths
from ..lora.formats import adapter_key, check_fits, inspect_adapter, load_adapter
from ..lora.merging import merged_network
from ..plain_networks import PlainNetworks, PlainPart, best_device
from ..runtime import Precision
from ..sampling.guidance import GUIDANCE
from ..sampling.noise import item_seeds
from ..sampling.options import SamplerOptions, resolve
from ..sampling.solvers import SOLVERS
from ..song.blueprint import Blueprint, with_user_values
from ..song.blueprint_json import blueprints_from_json, blueprints_to_json
from ..song.fields import INSTRUMENTAL_LYRICS, MAX_BATCH_SIZE
from ..song_files.encoding import ENCODINGS, Sound, read_sound
from ..song_files.files import write_song
from ..stages.decode import decode_songs, finish_songs
from ..stages.encode import encode_songs, encoded_summary
from ..stages.load import inspect_models, load_models, load_planner
from ..stages.plan import plan_songs, understand_waveforms
from ..stages.render import new_take, render_songs
from ..stages.sources import source_waveforms
from .models_folder import FoundModels, beside_model, choose, find_models
from .progress_bar import Say

PLAN_FIELDS = ("caption", "language", "bpm", "key", "time_signature", "duration_seconds")
SAMPLER_CHOICES = {"solver": list(SOLVERS), "guidance_method": list(GUIDANCE)}


class Loaded(NamedTuple):
    """A model with what goes with it, and what runs them."""

    networks: PlainNetworks
    model: AceModel
    text_encoder: AceTextEncoder
    vae: AceVae


def add_render_arguments(parser: argparse.ArgumentParser) -> None:
    _add_plan_fields(parser)
    _add_models(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="SONG.flac", help="flac, wav, mp3 or opus")
    parser.add_argument("--encoding", choices=list(ENCODINGS), help="default: the best of the file's format")
    parser.add_argument("--title", default="", help="what players show")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--batch", type=int, default=1, metavar="N", help=f"versions of the song, 1 to {MAX_BATCH_SIZE}"
    )
    parser.add_argument("--codes-strength", type=float, default=1.0, help="share of the steps that follow audio codes")
    parser.add_argument("--no-normalize", action="store_true", help="keep the level instead of a peak of -1 dBFS")
    parser.add_argument(
        "--lora", action="append", default=[], metavar="FILE[=STRENGTH]", help="may be given several times"
    )
    for field in fields(SamplerOptions):
        name = "--" + field.name.replace("_", "-")
        if isinstance(field.default, bool):
            parser.add_argument(name, action="store_true")
        else:
            kind = type(field.default)
            parser.add_argument(name, type=kind, default=field.default, choices=SAMPLER_CHOICES.get(field.name))


def render(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    """Render a song and write it; prints the paths.

    Raises:
        ValueError: a sentence for whatever cannot be done.
    """
    encoding = ENCODINGS[options.encoding or _encoding_of(options.out)]
    if not 1 <= options.batch <= MAX_BATCH_SIZE:
        raise ValueError(f"--batch must be 1 to {MAX_BATCH_SIZE}, got {options.batch}")
    plans = _plans(options)
    loaded = _load(options, say)
    sampler = SamplerOptions(**{field.name: getattr(options, field.name) for field in fields(SamplerOptions)})
    resolved = resolve(sampler, loaded.model.variant)
    started = time.monotonic()
    with torch.inference_mode():
        say.stage("encode")
        encoded = encode_songs(
            loaded.networks, loaded.model, loaded.text_encoder, plans, codes_strength=options.codes_strength
        )
        for line in (line for song in encoded.songs for line in encoded_summary(song)):
            say.note(line)
        say.note("\n".join((resolved.summary, *resolved.notes)))
        say.stage("render")
        take = new_take(encoded.conditioning, sampler, options.seed, options.batch)
        rendered = render_songs(loaded.networks, loaded.model, take, resolved)
        say.stage("decode")
        waveforms = decode_songs(loaded.networks, loaded.vae, rendered.latents, rendered.samples)
        waveforms = finish_songs(waveforms, rendered.samples, normalize=not options.no_normalize)
    seconds = time.monotonic() - started
    paths = _numbered(options.out, len(rendered.records))
    for index, path in enumerate(paths):
        plan = plans[index if len(plans) > 1 else 0]
        sound = Sound(waveforms[index, :, : rendered.samples[index]], 48_000)
        record = replace(rendered.records[index], blueprint=plan)
        path.parent.mkdir(parents=True, exist_ok=True)
        for note in write_song(path, sound, encoding, record, title=options.title):
            say.note(note)
        say.result(str(path))
    seeds = [dict(record.seeds) for record in rendered.records]
    return {"files": [str(path) for path in paths], "seeds": seeds, "settings": resolved.summary, "seconds": seconds}


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    _add_plan_fields(parser)
    _add_models(parser)
    _add_planner(parser)
    parser.add_argument("--out", type=Path, metavar="PLAN.json", help="default: printed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="how many songs to plan")
    parser.add_argument("--no-codes", action="store_true", help="plan the words only")
    parser.add_argument("--rewrite-caption", action="store_true", help="write a richer caption")


def plan(options: argparse.Namespace, say: Say) -> Any:
    """Fill what a plan leaves open and write its audio codes."""
    plans = _plans(options)
    networks, planner = _load_planner(options, say)
    say.stage("plan")
    with torch.inference_mode():
        seeds = item_seeds(options.seed, max(len(plans), options.batch))
        planned = plan_songs(
            networks,
            planner,
            plans,
            seeds,
            write_codes=not options.no_codes,
            rewrite_caption=options.rewrite_caption,
        )
    return _give(planned.blueprints, planned.notes, options, say)


def add_understand_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("audio", type=Path, help="an audio file, 1 to 600 s")
    _add_models(parser)
    _add_planner(parser)
    parser.add_argument("--out", type=Path, metavar="PLAN.json", help="default: printed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep-codes", action="store_true", help="keep the audio's codes, so that a render follows it")


def understand(options: argparse.Namespace, say: Say) -> Any:
    """Describe a recording as a plan."""
    sound = read_sound(options.audio)
    loaded = _load(options, say)
    _, planner = _load_planner(options, say, loaded.networks)
    say.stage("understand")
    with torch.inference_mode():
        described = understand_waveforms(
            loaded.networks,
            planner,
            loaded.model,
            loaded.vae,
            source_waveforms(sound.waveform[None], sound.sample_rate),
            (options.seed,),
            keep_codes=options.keep_codes,
        )
    return _give(described.blueprints, described.notes, options, say)


def _give(plans: tuple[Blueprint, ...], notes: tuple[str, ...], options: argparse.Namespace, say: Say) -> Any:
    """Write or print plans."""
    text = blueprints_to_json(plans)
    for note in notes:
        say.note(note)
    if options.out is None:
        say.result(text.rstrip())
    else:
        write_whole(options.out, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))
        say.result(str(options.out))
    return json.loads(text)


def _add_plan_fields(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan", nargs="?", type=Path, metavar="PLAN.json", help="a saved blueprint; or use the options")
    parser.add_argument("--caption", help="style, instruments, voice and mood in words")
    parser.add_argument("--lyrics", type=Path, metavar="FILE", help="a text file with [Verse], [Chorus], ...")
    parser.add_argument("--instrumental", action="store_true", help="no vocals")
    parser.add_argument("--language", help="of the vocals, such as en")
    parser.add_argument("--bpm", help="30 to 300")
    parser.add_argument("--key", help="such as Am or 'F# minor'")
    parser.add_argument("--time-signature", help="2/4, 3/4, 4/4 or 6/8")
    parser.add_argument("--duration", dest="duration_seconds", help="10 to 600 seconds, or 3:30")


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models",
        type=Path,
        required=True,
        metavar="DIR",
        help="ComfyUI's models folder, an official folder, or a file",
    )
    parser.add_argument("--model", type=Path, help="which of several; a name or a path")
    parser.add_argument("--text-encoder", type=Path)
    parser.add_argument("--vae", type=Path)
    parser.add_argument("--variant", choices=VARIANTS, help="of a renamed file")
    parser.add_argument("--device", type=torch.device, default=None, help="cuda, cpu, mps; default: the best there is")
    parser.add_argument("--precision", choices=get_args(Precision), default="auto")
    parser.add_argument("--low-memory", action="store_true", help="one network on the device at a time")


def _add_planner(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--planner", type=Path, help="which of several; a name or a path")
    parser.add_argument("--int8", action="store_true", help="int8 weights for the planner, on a CPU")


def _plans(options: argparse.Namespace) -> tuple[Blueprint, ...]:
    """The plans of a file, with the options put over them; without a file those of the options."""
    values = {name: getattr(options, name) for name in PLAN_FIELDS if getattr(options, name) is not None}
    if options.instrumental:
        values["lyrics"] = INSTRUMENTAL_LYRICS
    elif options.lyrics is not None:
        values["lyrics"] = options.lyrics.read_text(encoding="utf-8")
    if options.plan is None:
        if not values:
            raise ValueError("give a PLAN.json, or --caption and the other options of a song")
        return (Blueprint(**values),)
    plans = blueprints_from_json(options.plan.read_text(encoding="utf-8"))
    return tuple(with_user_values(song, **values) for song in plans)


def _networks(options: argparse.Namespace, say: Say) -> PlainNetworks:
    return PlainNetworks(options.device or best_device(), keep=not options.low_memory, progress=say.progress)


def _load(options: argparse.Namespace, say: Say) -> Loaded:
    say.stage("load")
    found = find_models(options.models)
    files = inspect_model(choose(found, kinds.MODEL, options.model, options.models))
    sources = inspect_models(
        files,
        beside_model(found, kinds.TEXT_ENCODER, options.text_encoder, files, options.models),
        beside_model(found, kinds.VAE, options.vae, files, options.models),
    )
    networks = _networks(options, say)
    variant: Variant | None = options.variant
    model, text_encoder, vae = load_models(networks, sources, variant=variant, precision=options.precision)
    for choice in getattr(options, "lora", ()):
        model = _with_lora(model, choice, say)
    say.note(repr(model))
    return Loaded(networks, model, text_encoder, vae)


def _load_planner(
    options: argparse.Namespace, say: Say, networks: PlainNetworks | None = None
) -> tuple[PlainNetworks, AcePlanner]:
    found: FoundModels = find_models(options.models)
    path = choose(found, kinds.PLANNER, options.planner, options.models)
    networks = networks or _networks(options, say)
    planner = load_planner(networks, path, precision=options.precision, int8=options.int8)
    say.note(repr(planner))
    return networks, planner


def _with_lora(model: AceModel, choice: str, say: Say) -> AceModel:
    """The model with an adapter, given as FILE or FILE=STRENGTH."""
    file, _, strength = choice.rpartition("=") if "=" in choice else (choice, "", "1")
    path = Path(file)
    try:
        strengths = Strengths(float(strength))
    except ValueError as error:
        raise ValueError(f"--lora takes FILE or FILE=STRENGTH with a number, got {choice!r}") from error
    files = inspect_adapter(path)
    network = model.dit.network
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for remark in check_fits(files, shapes, repr(model), model.variant):
        say.note(remark)
    applied = AppliedAdapter(path.name, load_adapter(files), strengths, adapter_key(files).files)
    merged = PlainPart(merged_network(network, [applied]), model.dit.dtype)
    return model._replace(dit=merged, adapters=(*model.adapters, applied))


def _encoding_of(path: Path) -> str:
    """The best encoding of a file's format."""
    wanted = path.suffix.lower().removeprefix(".")
    for name, encoding in ENCODINGS.items():
        if encoding.container == wanted:
            return name
    formats = ", ".join(dict.fromkeys(encoding.container for encoding in ENCODINGS.values()))
    raise ValueError(f"--out must end in one of {formats}, got {path.name!r}")


def _numbered(path: Path, count: int) -> list[Path]:
    """The path, or one for each of several songs: name_1.flac, name_2.flac, ..."""
    if count == 1:
        return [path]
    return [path.with_stem(f"{path.stem}_{number}") for number in range(1, count + 1)]
