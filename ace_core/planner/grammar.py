"""Constrained decoding of the planner's text: whatever the weights, the answer is a legal song plan.

    <think> newline  bpm: 95  caption: ...  duration: 184  genres: ...  keyscale: G major  language: en
    timesignature: 4  [ </think> lyrics <|im_end|> ]

Field names are forced, values of closed fields come from prefix trees over the tokens the tokenizer itself would use,
what is fixed beforehand is forced, and caption, genres and lyrics are free text under the masks of `text_tokens`. One
object holds the state of one sequence.

Field order, legal values and the tokens of names are the published processor's, and like there the language is not
sampled: the most probable one is taken. Where ours differs, and why:

- A caption goes on after a newline with an indented word or ends with the next field's first token. The published
  processor looks at the most probable token, then lets anything be sampled, and can lose the duration that way.
- A field that the user fixed is forced in YAML's spelling, which the model saw in training: the language `no` is
  `'no'`. Where the language is open both spellings are legal.
- A caption ends within `CAPTION_TOKENS`, because the renderer reads 256 tokens, metadata included.
- After the last value of a plan nothing follows. The published processor ends it with the stop token.

Traps:
- A newline needs a letter or digit before it on its line, or blank lines and empty captions would be legal.
- A hard end can come in the middle of a character: its missing bytes come first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..audio.waveform import MAX_DURATION_SECONDS, MIN_DURATION_SECONDS
from ..checkpoints.tokenizer import TextTokenizer
from ..song.fields import PLAN_FIELDS
from .metadata import METADATA_FIELDS, write_metadata
from .prefix_trees import Node, build_tree
from .text_tokens import TextTokens, read_text_tokens
from .utf8 import COMPLETE, next_state
from .vocabulary import THINK_END, THINK_START, TURN_END

SKIPPABLE_FIELDS = ("caption", "genres", "language")
CAPTION_TOKENS = 184  # the caption prompt has 256, of which instruction and metadata take up to 65
GENRES_TOKENS = 48
LYRICS_TOKENS = 2_000  # the lyric prompt has 2048, of which the language takes up to 13
BYTES_PER_TOKEN = 16  # a bound for a whole text; some tokens are 128 spaces or dashes

_CHARACTER_BYTES = 4


@dataclass(frozen=True, eq=False)
class Grammar:
    """What all sequences of one tokenizer share. Made once, when a planner is loaded.

    Attributes:
        tokens: the vocabulary and its masks.
        names: the tokens of `bpm:` and so on, without the space that belongs to the value.
        trees: the legal values of the closed fields.
        after_line: by field, the mask at the start of a line of free text: an indented word, or the next field.
    """

    tokens: TextTokens
    names: Mapping[str, tuple[int, ...]]
    trees: Mapping[str, Node]
    after_line: Mapping[str, Tensor]


def build_grammar(tokenizer: TextTokenizer) -> Grammar:
    """Trees and masks for a byte-level tokenizer of the Qwen kind; takes about a second."""
    tokens = read_text_tokens(tokenizer)
    names = {name: tokens.encode(f"{name}:") for name in METADATA_FIELDS}
    return Grammar(
        tokens=tokens,
        names=names,
        trees={
            field.metadata: _value_tree(tokens, field.metadata, field.values)
            for field in PLAN_FIELDS
            if field.metadata and field.values
        },
        after_line={name: tokens.indented_or(ids[0]) for name, ids in names.items()},
    )


def plan_constraint(
    grammar: Grammar,
    *,
    fixed: Mapping[str, str | int] | None = None,
    skipped: Collection[str] = (),
    max_duration_seconds: int = MAX_DURATION_SECONDS,
    with_lyrics: bool = False,
) -> PlanConstraint:
    """The state of a sequence that is about to write a plan, from `<think>` on.

    Args:
        fixed: field values that are forced as they are, legal ones: `{"bpm": 95}`.
        skipped: fields to leave out, of `SKIPPABLE_FIELDS`.
        max_duration_seconds: the longest duration the model may choose.
        with_lyrics: go on after the metadata with `</think>` and free text up to the stop token.

    Raises:
        ValueError: a field that cannot be skipped, a longest duration outside 10 to 600.
    """
    wrong = [name for name in skipped if name not in SKIPPABLE_FIELDS]
    if wrong:
        raise ValueError(f"only {', '.join(SKIPPABLE_FIELDS)} can be skipped, got {', '.join(wrong)}")
    if not MIN_DURATION_SECONDS <= max_duration_seconds <= MAX_DURATION_SECONDS:
        raise ValueError(
            f"the longest duration must be {MIN_DURATION_SECONDS} to {MAX_DURATION_SECONDS} seconds, got "
            f"{max_duration_seconds}"
        )
    tokens = grammar.tokens
    fixed = fixed or {}
    fields = [name for name in METADATA_FIELDS if name not in skipped]
    parts: list[_Part] = []
    forced = [THINK_START, tokens.newline, *grammar.names[fields[0]]]
    for name, following in zip(fields, [*fields[1:], None], strict=True):
        next_name = grammar.names[following] if following else ()
        if name in fixed:
            forced += tokens.encode(_spelled(name, fixed[name]) + "\n")
            forced += next_name
        elif following and name not in grammar.trees:
            parts += [_Forced(forced), _FreeValue(tokens, name, next_name, grammar.after_line[following])]
            forced = []
        else:
            tree = _tree(grammar, name, max_duration_seconds)
            parts += [_Forced(forced), _Choice(tree, greedy=name == "language")]
            forced = [*next_name]
    if with_lyrics:
        parts += [_Forced([*forced, THINK_END]), _Lyrics(tokens)]
    else:
        parts.append(_Forced(forced))
    return PlanConstraint([part for part in parts if part.max_tokens])


class PlanConstraint:
    """Grammar state of one sequence.

    Attributes:
        max_tokens: the most tokens that can follow.
        caption_is_cut: whether the caption reached `CAPTION_TOKENS` and was ended there.
    """

    def __init__(self, parts: Collection[_Part]) -> None:
        self._parts = deque(parts)
        self.max_tokens = sum(part.max_tokens for part in parts)
        self.caption_is_cut = False

    @property
    def finished(self) -> bool:
        """Whether nothing more is to be generated."""
        return not self._parts

    @property
    def greedy(self) -> bool:
        """Whether the most probable of the allowed ids is taken instead of a sampled one."""
        part = self._parts[0]
        return isinstance(part, _Choice) and part.greedy

    def allowed(self) -> tuple[int, ...] | Tensor:
        """Ids that may come next, or a shared mask over all text ids."""
        return self._parts[0].allowed()

    def advance(self, token_id: int) -> None:
        """Take in the token that was chosen, one of `allowed`."""
        part = self._parts[0]
        part.advance(token_id)
        if part.ended:
            self._parts.popleft()
            if isinstance(part, _FreeValue) and part.folds:
                self.caption_is_cut = part.cut


class _Part(Protocol):
    """A stretch of the answer with one rule."""

    max_tokens: int
    ended: bool

    def allowed(self) -> tuple[int, ...] | Tensor: ...

    def advance(self, token: int) -> None: ...


class _Forced:
    """Known tokens."""

    def __init__(self, tokens: Collection[int]) -> None:
        self.max_tokens = len(tokens)
        self.ended = False
        self._tokens = deque(tokens)

    def allowed(self) -> tuple[int, ...]:
        return (self._tokens[0],)

    def advance(self, token: int) -> None:
        self._tokens.popleft()
        self.ended = not self._tokens


class _Choice:
    """One value of a tree, with its newline."""

    def __init__(self, tree: Node, *, greedy: bool) -> None:
        self.max_tokens = tree.depth
        self.ended = False
        self.greedy = greedy
        self._node = tree

    def allowed(self) -> tuple[int, ...]:
        return self._node.allowed

    def advance(self, token: int) -> None:
        self._node = self._node.children[token]
        self.ended = not self._node.children


class _Text:
    """The UTF-8 state of free text, and when it has to end."""

    def __init__(self, tokens: TextTokens, max_tokens: int) -> None:
        self.tokens = tokens
        self.state = COMPLETE
        self._tokens_left = max_tokens
        self._bytes_left = max_tokens * BYTES_PER_TOKEN

    @property
    def exhausted(self) -> bool:
        return self._tokens_left <= 0 or self._bytes_left <= 0

    def add(self, token: int) -> bytes:
        spelling = self.tokens.spelled[token]
        state = next_state(self.state, spelling)
        if state is None:
            raise ValueError(f"token {token} ({spelling!r}) is not legal here: it was not one of the allowed tokens")
        self.state = state
        self._tokens_left -= 1
        self._bytes_left -= len(spelling)
        return spelling


class _FreeValue:
    """Free text of a field, its newline, and the name of the next field; a caption may go on in indented lines."""

    def __init__(self, tokens: TextTokens, field: str, next_name: tuple[int, ...], after_line: Tensor) -> None:
        limit = CAPTION_TOKENS if field == "caption" else GENRES_TOKENS
        self.max_tokens = limit + _CHARACTER_BYTES + len(next_name)
        self.ended = False
        self.cut = False
        self.folds = field == "caption"
        self._text = _Text(tokens, limit)
        self._next_name = next_name
        self._after_line = after_line
        self._line_start = tokens.indented
        self._line_is_new = True
        self._line_has_word = False
        self._tail: _Forced | None = None

    def allowed(self) -> tuple[int, ...] | Tensor:
        if self._tail is not None:
            return self._tail.allowed()
        tokens, state = self._text.tokens, self._text.state
        if self._line_is_new:
            return self._line_start
        if self._text.exhausted:
            return (tokens.newline,) if state == COMPLETE else tokens.completing[state]
        return (tokens.inline_or_end if self._line_has_word else tokens.inline)[state]

    def advance(self, token: int) -> None:
        if self._tail is not None:
            self._tail.advance(token)
            self.ended = self._tail.ended
        elif self._line_is_new and token == self._next_name[0]:
            self._end_with(self._next_name[1:])
        else:
            self.cut = self.cut or self._text.exhausted
            self._add(self._text.add(token))

    def _add(self, spelling: bytes) -> None:
        self._line_is_new = spelling.endswith(b"\n")
        if not self._line_is_new:
            self._line_has_word = self._line_has_word or any(map(str.isalnum, spelling.decode("utf-8", "ignore")))
        elif self.folds and not self._text.exhausted:
            self._line_start = self._after_line
            self._line_has_word = False
        else:
            self._end_with(self._next_name)

    def _end_with(self, name: tuple[int, ...]) -> None:
        self._tail = _Forced(name)
        self.ended = not name


class _Lyrics:
    """Free text up to the stop token."""

    def __init__(self, tokens: TextTokens) -> None:
        self.max_tokens = LYRICS_TOKENS + _CHARACTER_BYTES
        self.ended = False
        self._text = _Text(tokens, LYRICS_TOKENS)

    def allowed(self) -> tuple[int, ...] | Tensor:
        tokens, state = self._text.tokens, self._text.state
        return tokens.completing[state] if self._text.exhausted else tokens.lyrics_or_stop[state]

    def advance(self, token: int) -> None:
        if token == TURN_END:
            self.ended = True
        else:
            self._text.add(token)
            self.ended = self._text.exhausted and self._text.state == COMPLETE


def _tree(grammar: Grammar, name: str, max_duration_seconds: int) -> Node:
    if name == "duration" and max_duration_seconds < MAX_DURATION_SECONDS:
        return _value_tree(grammar.tokens, name, range(MIN_DURATION_SECONDS, max_duration_seconds + 1))
    return grammar.trees[name]


def _value_tree(tokens: TextTokens, name: str, values: Collection[str | int]) -> Node:
    spellings = {_spelled(name, value) for value in values} | {f" {value}" for value in values}
    return build_tree(tokens.encode(f"{spelling}\n") for spelling in sorted(spellings))


def _spelled(name: str, value: str | int) -> str:
    """A value as it follows the colon in YAML: a space, quotes where YAML needs them, folded lines."""
    return write_metadata({name: value})[len(name) + 1 :]
