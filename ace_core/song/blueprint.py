"""Blueprint: the song plan, what the user wrote in it, what the planner wrote, and what is still open.

Every field may be None: that is *auto*, to be filled by the planner or left to the model. The constructor validates
everything: it turns human spellings into the model's (`Am` to `A minor`) and refuses what is outside the domains of
`fields`, so a blueprint that exists is valid, and building one from another's fields gives the same one.

Traps:
- The planner never changes what the user wrote. A caption it rewrote is in `rewritten_caption`: the renderer uses the
  rewritten one, while the planner's own prompts need the original.
- An instrumental has exactly one spelling, the lyrics `[Instrumental]` the model was trained on. There is no flag
  beside the lyrics that could contradict them.
- Text that tokenizers read as control tokens (`<|im_end|>`) is refused: it would end a prompt in its middle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeAlias

from ..audio.waveform import CODE_RATE, code_count
from ..checks import shown
from .fields import AUTO_FIELDS, INSTRUMENTAL_LYRICS, PLAN_FIELDS, SONG_FIELDS, seconds_of_codes

DEFAULT_DURATION_SECONDS = 120.0

Origin: TypeAlias = Literal["user", "planner", "auto"]


@dataclass(frozen=True)
class Blueprint:
    """One song plan; None means auto.

    Args:
        caption: style, instruments and mood in words, as the user wrote it.
        lyrics: words with `[Verse]` tags; `[Instrumental]` for no vocals.
        language: vocal language code, `unknown` included.
        bpm: 30 to 300.
        key: such as `F# minor`.
        time_signature: 2, 3, 4 or 6.
        duration_seconds: 10 to 600.
        audio_codes: 5 a second, each 0 to 63999.
        rewritten_caption: the planner's version of a caption that the user wrote.
        planned: names of the fields the planner wrote; each of them has a value.
        planner: which planner wrote last, with its adapters; empty where none did. It is for the records of songs:
            equal plans may come from different ones, and files of plans leave it out.

    Raises:
        ValueError: a value outside its domain; the message names the domain and the value.
    """

    caption: str | None = None
    lyrics: str | None = None
    language: str | None = None
    bpm: int | None = None
    key: str | None = None
    time_signature: int | None = None
    duration_seconds: float | None = None
    audio_codes: tuple[int, ...] | None = None
    rewritten_caption: str | None = None
    planned: frozenset[str] = frozenset()
    planner: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        normalized = {field.name: field.normalize(getattr(self, field.name)) for field in PLAN_FIELDS}
        for name, value in normalized.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "planned", frozenset(self.planned))
        object.__setattr__(self, "planner", self.planner if self.planned else "")
        for name in sorted(self.planned):
            if normalized.get(name) is None:
                raise ValueError(f"'planned' names {shown(name)}, which is not a field with a value")

    def __repr__(self) -> str:
        values = ((name, getattr(self, name)) for name in SONG_FIELDS)
        return f"Blueprint({', '.join(f'{name}={shown(value)}' for name, value in values if value is not None)})"

    def origin(self, field: str) -> Origin:
        """Who decided a field: the user, the planner, or nobody yet."""
        _check_field_names([field])
        if getattr(self, field) is None:
            return "auto"
        return "planner" if field in self.planned else "user"

    @property
    def is_instrumental(self) -> bool:
        """Whether the lyrics say that nobody sings; open lyrics are not decided."""
        return self.lyrics == INSTRUMENTAL_LYRICS


class ResolvedDuration(NamedTuple):
    """The length to render and, where it is not simply what the user asked for, a sentence that says why."""

    seconds: float
    note: str | None


def fields_left_auto(blueprint: Blueprint) -> tuple[str, ...]:
    """The fields a plan should decide and that nobody has decided yet, in the order of `AUTO_FIELDS`."""
    return tuple(name for name in AUTO_FIELDS if getattr(blueprint, name) is None)


def with_user_values(blueprint: Blueprint, **values: Any) -> Blueprint:
    """A copy in which the user wrote these fields; None puts a field back to auto.

    A new caption drops the planner's rewrite of the old one, which would hide it.

    Raises:
        ValueError: an unknown field name or a value outside its domain.
    """
    _check_field_names(values)
    if "caption" in values and blueprint.origin("rewritten_caption") == "planner":
        values.setdefault("rewritten_caption", None)
    return replace(blueprint, **values, planned=blueprint.planned - values.keys())


def with_codes(blueprint: Blueprint, codes: Sequence[int]) -> Blueprint:
    """A copy that follows audio codes, and lasts as long as they do."""
    return with_user_values(blueprint, audio_codes=codes, duration_seconds=seconds_of_codes(len(codes)))


def with_planned_values(blueprint: Blueprint, **values: Any) -> Blueprint:
    """A copy in which the planner wrote these fields; fields that the user wrote keep the user's value.

    What an earlier plan wrote is replaced; None and empty text leave a field as it is.

    Raises:
        ValueError: an unknown field name or a value outside its domain.
    """
    _check_field_names(values)
    plan = Blueprint(**{name: value for name, value in values.items() if blueprint.origin(name) != "user"})
    written = {name: getattr(plan, name) for name in SONG_FIELDS if plan.origin(name) != "auto"}
    return replace(blueprint, **written, planned=blueprint.planned | written.keys())


def resolved_duration(blueprint: Blueprint) -> ResolvedDuration:
    """How many seconds to render: the duration field, else the length of the audio codes, else 120."""
    seconds = blueprint.duration_seconds
    codes = len(blueprint.audio_codes or ())
    if seconds is None and not codes:
        return ResolvedDuration(
            DEFAULT_DURATION_SECONDS,
            f"the duration is auto and nothing has planned it: rendering {DEFAULT_DURATION_SECONDS:g} s",
        )
    if seconds is None:
        seconds = seconds_of_codes(codes)
        return ResolvedDuration(seconds, f"the duration is auto: rendering {seconds:g} s for {codes} audio codes")
    if not codes or codes == code_count(seconds):
        return ResolvedDuration(seconds, None)
    consequence = "the end has no codes" if codes < code_count(seconds) else "the codes after that are not used"
    return ResolvedDuration(
        seconds, f"{codes} audio codes last {codes / CODE_RATE:g} s, the duration is {seconds:g} s: {consequence}"
    )


def _check_field_names(names: Iterable[str]) -> None:
    check_names("a blueprint", names, SONG_FIELDS)


def check_names(what: str, names: Iterable[str], known: Sequence[str]) -> None:
    """Raise ValueError for names that are none of `known`, the fields of `what`."""
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{what} has no field {', '.join(map(shown, unknown))}; the fields are {', '.join(known)}")
