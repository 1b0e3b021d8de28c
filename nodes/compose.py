"""Blueprint and Encode: what the song shall be, and what the sampler needs of it."""

from __future__ import annotations

from comfy_api.v0_0_2 import io, ui
from torch import Tensor

from ..ace_core.audio_codes import decode_audio_codes
from ..ace_core.blueprint import INSTRUMENTAL_LYRICS, Blueprint, fields_left_auto
from ..ace_core.conditioning import (
    SongPrompt,
    encode_conditions,
    encode_text,
    song_conditions,
    tokenize_song,
)
from ..ace_core.languages import LANGUAGES
from ..ace_core.music_domains import ASCII_KEYS, TIME_SIGNATURES
from ..ace_core.prompts import CAPTION_TOKEN_LIMIT, LYRIC_TOKEN_LIMIT
from . import _compat as compat
from . import host
from .types import (
    AceBlueprint,
    AceBlueprintWire,
    AceConditioning,
    AceConditioningWire,
    AceModel,
    AceModelWire,
    AceTextEncoder,
    AceTextEncoderWire,
)

AUTO = "auto"


class AceComposerBlueprint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerBlueprint",
            display_name="ACE-Step Blueprint",
            category="audio/ACE Composer",
            description="The plan of a song: style, lyrics and musical facts. Every field can be left open (auto).",
            search_aliases=["lyrics", "song", "caption", "tags", "prompt"],
            inputs=[
                io.String.Input(
                    "caption",
                    multiline=True,
                    dynamic_prompts=False,
                    placeholder="upbeat synth-pop, female vocal, bright analog synths, four-on-the-floor drums",
                    tooltip="Style, instruments, voice and mood in words (at most 256 tokens with the musical facts).",
                ),
                io.String.Input(
                    "lyrics",
                    multiline=True,
                    dynamic_prompts=False,
                    placeholder="[Verse]\nCity lights are calling...\n\n[Chorus]\n...",
                    tooltip="Words to sing with [Verse], [Chorus], ... above each part (at most 2048 tokens). "
                    "Empty: instrumental.",
                ),
                io.Boolean.Input("instrumental", default=False, tooltip="No vocals, whatever the lyrics field says."),
                io.Combo.Input(
                    "language",
                    options=[AUTO, *LANGUAGES],
                    default=AUTO,
                    tooltip="Language of the vocals. auto: unknown to the renderer, which then follows the lyrics.",
                ),
                io.Int.Input("bpm", default=0, min=0, max=300, tooltip="Beats per minute, 30 to 300. 0: auto."),
                io.Combo.Input("key", options=[AUTO, *ASCII_KEYS], default=AUTO, tooltip="Key and mode. auto: open."),
                io.Combo.Input(
                    "time_signature",
                    options=[AUTO, *TIME_SIGNATURES.values()],
                    default=AUTO,
                    tooltip="Beats in a bar. auto: left open.",
                ),
                io.Float.Input(
                    "duration_seconds",
                    default=0.0,
                    min=0.0,
                    max=600.0,
                    step=0.1,
                    tooltip="Length in seconds, 10 to 600. 0: auto, which is 120 s unless a planner decides.",
                ),
            ],
            outputs=[AceBlueprintWire.Output("ace_blueprint", display_name="blueprint")],
        )

    @classmethod
    def validate_inputs(
        cls,
        language: str | None,
        bpm: int | None,
        key: str | None,
        time_signature: str | None,
        duration_seconds: float | None,
    ) -> bool | str:
        """Accept every spelling the blueprint understands, not only the listed one; None is a linked value."""
        try:
            Blueprint(
                language=language,
                bpm=bpm or None,
                key=key,
                time_signature=time_signature,
                duration_seconds=duration_seconds or None,
            )
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls,
        caption: str,
        lyrics: str,
        instrumental: bool,
        language: str,
        bpm: int,
        key: str,
        time_signature: str,
        duration_seconds: float,
    ) -> io.NodeOutput:
        blueprint = Blueprint(
            caption=caption,
            lyrics=INSTRUMENTAL_LYRICS if instrumental else lyrics,
            language=language,
            bpm=bpm or None,
            key=key,
            time_signature=time_signature,
            duration_seconds=duration_seconds or None,
        )
        return io.NodeOutput((blueprint,))


class AceComposerEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerEncode",
            display_name="ACE-Step Encode",
            category="audio/ACE Composer",
            description="Turn a blueprint into what the sampler needs.",
            search_aliases=["conditioning", "text encode"],
            inputs=[
                AceModelWire.Input("model", tooltip="From Load Models: the condition encoder is part of it."),
                AceTextEncoderWire.Input("text_encoder", tooltip="From Load Models."),
                AceBlueprintWire.Input("blueprint", tooltip="One song plan, or several: each is encoded on its own."),
                compat.advanced(
                    io.Float.Input(
                        "codes_strength",
                        default=1.0,
                        min=0.0,
                        max=1.0,
                        step=0.01,
                        optional=True,
                        tooltip="Share of the sampler's steps that follow the blueprint's audio codes; the others run "
                        "without. Does nothing for a blueprint without codes.",
                    )
                ),
            ],
            outputs=[AceConditioningWire.Output("ace_conditioning", display_name="conditioning")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, model: AceModel, text_encoder: AceTextEncoder, blueprint: AceBlueprint, codes_strength: float = 1.0
    ) -> io.NodeOutput:
        prompts = [tokenize_song(text_encoder.tokenizer, song) for song in blueprint]
        # A strength below 1 needs the conditions without codes as well.
        both = [song.audio_codes is not None and codes_strength < 1 for song in blueprint]
        plain_prompts = [
            tokenize_song(text_encoder.tokenizer, song, follow_codes=False)
            for song, needed in zip(blueprint, both, strict=True)
            if needed
        ]
        packed = iter(_packed(model, text_encoder, [*prompts, *plain_prompts]))
        packed_with_codes = [next(packed) for _ in prompts]
        songs = tuple(
            song_conditions(
                item,
                prompt,
                model.silence,
                hints=_hints(model, song),
                packed_without_codes=next(packed) if needed else None,
                codes_strength=codes_strength,
            )
            for song, prompt, item, needed in zip(blueprint, prompts, packed_with_codes, both, strict=True)
        )
        summary = "\n".join(_summaries(blueprint, prompts))
        host.show_text(cls.hidden.unique_id, summary)
        return io.NodeOutput(AceConditioning(songs), ui=ui.PreviewText(summary))


def _packed(model: AceModel, text_encoder: AceTextEncoder, prompts: list[SongPrompt]) -> list[Tensor]:
    """Packed conditions of each prompt: all through the text encoder first, then all through the condition encoder."""
    update = host.progress()
    network, device = host.load(text_encoder.patcher)
    attention = host.attention(device)
    texts = []
    for done, prompt in enumerate(prompts, 1):
        texts.append(encode_text(network, prompt, device=device, dtype=text_encoder.dtype, attention=attention))
        update(done, 2 * len(prompts))

    network, device = host.load(model.condition_encoder)
    attention = host.attention(device)
    packed = []
    for done, text in enumerate(texts, len(prompts) + 1):
        packed.append(
            encode_conditions(network, text, model.silence, device=device, dtype=model.dtype, attention=attention)
        )
        update(done, 2 * len(prompts))
    return packed


def _hints(model: AceModel, song: Blueprint) -> Tensor | None:
    """Latents of a song's audio codes, or None without codes."""
    if song.audio_codes is None:
        return None
    if model.audio_tokenizer is None:
        raise ValueError(
            f"the blueprint has audio codes, but {model.name} was converted without its audio tokenizer: use another "
            "file of this model, or a blueprint without codes"
        )
    network, device = host.load(model.audio_tokenizer)
    return decode_audio_codes(
        network, song.audio_codes, device=device, dtype=model.dtype, attention=host.attention(device)
    )


def _summaries(blueprint: AceBlueprint, prompts: list[SongPrompt]) -> list[str]:
    """One line a song: its length, the size of its prompts, what was left open."""
    lines = []
    for song, prompt in zip(blueprint, prompts, strict=True):
        open_fields = ", ".join(fields_left_auto(song)) or "nothing"
        lines.append(
            f"{prompt.duration_seconds:g} s, caption {len(prompt.caption_ids)}/{CAPTION_TOKEN_LIMIT} tokens, "
            f"lyrics {len(prompt.lyric_ids)}/{LYRIC_TOKEN_LIMIT} tokens, left open: {open_fields}"
        )
        if prompt.note is not None:
            lines.append(prompt.note)
    return lines
