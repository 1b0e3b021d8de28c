"""The text tokenizer of Qwen3: byte-level BPE with the Qwen3 special tokens.

Read from a model folder's `tokenizer.json`, or built from `vocab.json` + `merges.txt` (Qwen2, 2.5 and 3 models share
these two files, and ComfyUI bundles them).

Traps:
- The special tokens come from our own table when there is no `tokenizer.json`: the `tokenizer_config.json` bundled with
  ComfyUI 0.3.75 is of another Qwen and has other tokens at 151665..151668 (`<think>` among them).
- The published tokenizer of Qwen3-Embedding-0.6B ends every text with `<|endoftext|>` (its post-processor does), so
  captions and lyrics, whose templates end with that token, end with two. ComfyUI writes both into its templates,
  acestep.cpp appends one. `encode_prompt` does the same from any layout; `encode` adds nothing.
- Special tokens inside a text are parsed, not spelled out. The caption template relies on it.
- A planner's `tokenizer.json` has 65 535 audio codes as added tokens, which tokenizers 0.21 takes 18 s to read. Their
  ids are computed wherever they are needed, so they are checked and left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

from ..checks import reason
from ..json_files import checked_json
from .files import CheckpointError

END_OF_TEXT = "<|endoftext|>"
QWEN_VOCABULARY = Path(__file__).parent / "qwen_tokenizer"  # of Qwen2.5 and Qwen3, Apache-2.0; see NOTICE
FIRST_SPECIAL_ID = 151_643

# Qwen3's added tokens in the order of their ids, 151643 .. 151668.
SPECIAL_TOKENS = (
    END_OF_TEXT,
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
)

_FILES = ("tokenizer.json", "vocab.json", "merges.txt")
_AUDIO_CODE = re.compile(r"<\|audio_code_(\d+)\|>")

# How Qwen2 and later cut text before BPE: contractions, words with one leading symbol, single digits, runs of symbols
# with the newlines after them, newlines, spaces.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, eq=False)
class TextTokenizer:
    """Text <-> token ids."""

    backend: Tokenizer

    @property
    def size(self) -> int:
        """Highest token id + 1: how many embedding rows the tokens need."""
        return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1

    def encode(self, text: str) -> list[int]:
        """Token ids of `text` and nothing else; special tokens in it are parsed."""
        ids: list[int] = self.backend.encode(text, add_special_tokens=False).ids
        return ids

    def encode_prompt(self, text: str) -> list[int]:
        """Token ids as the text encoder was trained with: `encode` and one more end-of-text token."""
        return [*self.encode(text), self.token_id(END_OF_TEXT)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens included; bytes that are no UTF-8 become U+FFFD."""
        text: str = self.backend.decode(list(ids), skip_special_tokens=False)
        return text

    def spell(self, ids: Iterable[int]) -> list[bytes]:
        """The bytes each token stands for; a character's bytes may be spread over several. No token: no bytes."""
        tokens = (self.backend.id_to_token(token) or "" for token in ids)
        return [token.encode() if token in SPECIAL_TOKENS else token_bytes(token) for token in tokens]

    def token_id(self, token: str) -> int:
        """The id of a token such as `<|endoftext|>`; CheckpointError if the tokenizer has none."""
        found: int | None = self.backend.token_to_id(token)
        if found is None:
            raise CheckpointError(f"the tokenizer has no token {token}; it is not a Qwen3 tokenizer.")
        return found


def token_bytes(token: str) -> bytes:
    """The bytes of an ordinary token, which the vocabulary writes with one printable character a byte."""
    return token.translate(_BYTE_OF_CHARACTER).encode("latin-1")


def has_tokenizer(folder: Path) -> bool:
    """Whether `folder` holds `tokenizer.json`, or `vocab.json` and `merges.txt`."""
    vocabulary = (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file()
    return vocabulary or (folder / "tokenizer.json").is_file()


def load_tokenizer(folder: Path | str) -> TextTokenizer:
    """The tokenizer in a model folder, or of a bare Qwen vocabulary.

    Raises:
        CheckpointError: there is none, it cannot be read, or it lacks the Qwen3 end-of-text token.
    """
    folder = Path(folder)
    if not has_tokenizer(folder):
        raise CheckpointError(f"{folder} holds no tokenizer (tokenizer.json, or vocab.json and merges.txt).")
    file = folder / "tokenizer.json"
    try:
        backend = Tokenizer.from_file(str(file)) if file.is_file() else _from_vocabulary(folder)
    except Exception as error:  # the tokenizers library raises bare Exception for any fault in the files
        raise CheckpointError(
            f"the tokenizer in {folder} cannot be read ({reason(error)}); download it again."
        ) from error
    tokenizer = TextTokenizer(backend)
    tokenizer.token_id(END_OF_TEXT)
    return tokenizer


def find_tokenizer(weights: Path, rows: int, bundled: Path = QWEN_VOCABULARY) -> TextTokenizer:
    """The tokenizer of a text encoder: beside its weights, in a pipeline's `tokenizer` folder, else the bundled one.

    A tokenizer beside a single file may be another model's, so it is taken only if it fits the embedding.

    Args:
        weights: the file or folder the weights were read from.
        rows: rows of the embedding.
        bundled: folder with the Qwen vocabulary to use where there is none.

    Raises:
        CheckpointError: the tokenizer found has ids beyond the embedding.
    """
    for folder in _own_folders(weights):
        if has_tokenizer(folder):
            tokenizer = load_tokenizer(folder)
            if tokenizer.size == rows:
                return tokenizer
    tokenizer = load_tokenizer(bundled)
    if tokenizer.size > rows:
        raise CheckpointError(
            f"{weights} has {rows} embedding rows but the tokenizer in {bundled} has {tokenizer.size} tokens. Put the "
            "model's own tokenizer.json beside it."
        )
    return tokenizer


def find_planner_tokenizer(weights: Path, rows: int, bundled: Path = QWEN_VOCABULARY) -> TextTokenizer:
    """The text tokenizer of a 5 Hz planner: beside its weights and without the audio codes, else the bundled one.

    Args:
        weights, rows, bundled: as for `find_tokenizer`.

    Raises:
        CheckpointError: a tokenizer that fits the embedding but has other ids for audio codes or Qwen3's special
            tokens than the planner was trained with, or one that cannot be read.
    """
    for folder in _own_folders(weights):
        file = folder / "tokenizer.json"
        if not file.is_file():
            continue
        try:
            document = checked_json(file.read_text(encoding="utf-8"))
            ids = document["model"]["vocab"] | {token["content"]: token["id"] for token in document["added_tokens"]}
            if max(ids.values()) + 1 != rows:
                continue
            others = [token for token in document["added_tokens"] if not _AUDIO_CODE.fullmatch(token["content"])]
            backend = Tokenizer.from_str(json.dumps(document | {"added_tokens": others}))
        except Exception as error:  # the tokenizers library raises bare Exception for any fault in the file
            raise CheckpointError(f"{file} cannot be read ({reason(error)}); download it again.") from error
        _check_planner_ids(file, ids)
        return TextTokenizer(backend)
    return load_tokenizer(bundled)


def tokenizer_files(weights: Path, bundled: Path = QWEN_VOCABULARY) -> tuple[Path, ...]:
    """Every file there is that the functions above may read; when one changes, comes or goes, so may their result."""
    folders = (*_own_folders(weights), bundled)
    return tuple(folder / name for folder in folders for name in _FILES if (folder / name).is_file())


def word_splitter() -> pre_tokenizers.PreTokenizer:
    """Text -> words in the byte alphabet, between which no merge reaches."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def added_tokens() -> list[AddedToken]:
    """`SPECIAL_TOKENS` as the tokenizers library adds them: matched literally, before normalisation."""
    return [AddedToken(token, special=token.startswith("<|"), normalized=False) for token in SPECIAL_TOKENS]


def _own_folders(weights: Path) -> tuple[Path, Path]:
    folder = weights if weights.is_dir() else weights.parent
    return folder, folder.parent / "tokenizer"


def _check_planner_ids(file: Path, ids: Mapping[str, int]) -> None:
    expected = {token: FIRST_SPECIAL_ID + index for index, token in enumerate(SPECIAL_TOKENS)}
    for token in ids:
        if match := _AUDIO_CODE.fullmatch(token):
            expected[token] = FIRST_SPECIAL_ID + len(SPECIAL_TOKENS) + int(match[1])
    for token, expected_id in expected.items():
        if ids.get(token) != expected_id:
            found = f"the id {ids[token]}" if token in ids else "no id"
            raise CheckpointError(
                f"{file} gives {token} {found} instead of {expected_id}; it is not this planner's tokenizer. Download "
                "the planner's own, or remove the file."
            )


def _from_vocabulary(folder: Path) -> Tokenizer:
    backend = Tokenizer(BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = word_splitter()
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens(added_tokens())
    return backend


def _bytes_of_characters() -> dict[int, int]:
    """GPT-2's alphabet: printable Latin-1 bytes stand for themselves, the others for characters from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(0x100) if byte not in printable]
    return {byte: byte for byte in printable} | {0x100 + index: byte for index, byte in enumerate(rest)}


_BYTE_OF_CHARACTER = _bytes_of_characters()
