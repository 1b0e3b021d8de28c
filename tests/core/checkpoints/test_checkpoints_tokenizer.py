"""The text tokenizer against transformers' own Qwen2 tokenizer over the same vocabulary."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
import tiny_checkpoints
from hypothesis import given
from hypothesis import strategies as st
from tiny_checkpoints import PLANNER_ROWS
from tiny_planner import planner_tokenizer
from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

from ace_core.checkpoints.files import CheckpointError
from ace_core.checkpoints.tokenizer import (
    FIRST_SPECIAL_ID,
    SPECIAL_TOKENS,
    TextTokenizer,
    find_planner_tokenizer,
    find_tokenizer,
    load_tokenizer,
)

DATA = Path(__file__).resolve().parents[2] / "data"
CAPTION = "# Instruction\nFill the mask:\n\n# Caption\nwarm synths\n\n# Metas\n- bpm: 120\n<|endoftext|>\n"
SCRIPTS = st.one_of(
    st.text(),
    st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF)),  # Chinese
    st.text(st.characters(min_codepoint=0x0E01, max_codepoint=0x0E5B)),  # Thai
    st.text(st.characters(min_codepoint=0x1F300, max_codepoint=0x1FAFF)),  # emoji
    st.text(st.characters(min_codepoint=0x0041, max_codepoint=0x024F)),  # Latin
    st.text(st.sampled_from("e\u0301a\u0308\u1100\u1161\u11a8 ")),  # decomposed letters
    st.text(st.sampled_from("0123456789.,:/% ")),
    st.text(st.sampled_from(" \t\n\r\u00a0\u3000")),
    st.text(st.sampled_from("I'm we'LL don't 's'T")),
)
TEXTS = st.lists(st.one_of(SCRIPTS, st.sampled_from(SPECIAL_TOKENS), st.just(CAPTION)), max_size=5).map("".join)


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`vocab.json` and `merges.txt`, the form a host bundles."""
    folder = tmp_path_factory.mktemp("vocabulary")
    model = json.loads(tiny_checkpoints.tiny_tokenizer().to_str())["model"]
    vocab = {token: index for token, index in model["vocab"].items() if index < FIRST_SPECIAL_ID}
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    merges = "".join(f"{first} {second}\n" for first, second in model["merges"])
    (folder / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def built(vocabulary: Path) -> TextTokenizer:
    return load_tokenizer(vocabulary)


@pytest.fixture(scope="module")
def peer(vocabulary: Path) -> Qwen2Tokenizer:
    tokenizer = Qwen2Tokenizer(vocab=str(vocabulary / "vocab.json"), merges=str(vocabulary / "merges.txt"))
    tokenizer.add_tokens(list(SPECIAL_TOKENS))
    return tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoints.write_tiny(tmp_path_factory.mktemp("official"), "official").text_encoder


@pytest.fixture(scope="module")
def from_file(folder: Path) -> TextTokenizer:
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def from_file_peer(folder: Path) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))


@given(text=TEXTS)
def test_a_built_tokenizer_agrees_with_transformers(built: TextTokenizer, peer: Qwen2Tokenizer, text: str) -> None:
    ids = built.encode(text)
    assert ids == peer(text, add_special_tokens=False).input_ids
    assert built.decode(ids) == peer.decode(ids)


@given(text=TEXTS)
def test_a_tokenizer_file_agrees_with_transformers(
    from_file: TextTokenizer, from_file_peer: PreTrainedTokenizerFast, text: str
) -> None:
    assert from_file.encode(text) == from_file_peer(text, add_special_tokens=False).input_ids
    assert from_file.encode_prompt(text) == from_file_peer(text).input_ids


@given(text=st.text())
def test_text_survives_the_round_trip(built: TextTokenizer, text: str) -> None:
    assert built.decode(built.encode(text)) == unicodedata.normalize("NFC", text)


# From the tokenizer_config.json of Qwen3.
PUBLISHED_TOKENS: dict[str, int] = json.loads((DATA / "qwen3_special_tokens.json").read_text(encoding="utf-8"))


def test_special_tokens_have_their_published_ids(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    assert tokenizer.size == 151_669
    assert len(PUBLISHED_TOKENS) == 26
    for token, index in PUBLISHED_TOKENS.items():
        assert tokenizer.token_id(token) == index
        assert tokenizer.encode(f"a{token}b")[1] == index
    with pytest.raises(CheckpointError, match="no token <audio>"):
        tokenizer.token_id("<audio>")


def test_special_tokens_follow_a_bare_vocabulary_in_order(built: TextTokenizer, vocabulary: Path) -> None:
    size = len(json.loads((vocabulary / "vocab.json").read_text(encoding="utf-8")))
    assert [built.token_id(token) for token in SPECIAL_TOKENS] == list(range(size, size + 26))


def test_a_host_vocabularys_own_special_tokens_are_not_used(
    vocabulary: Path, built: TextTokenizer, tmp_path: Path
) -> None:
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).write_bytes((vocabulary / name).read_bytes())
    other = {str(built.token_id("<think>")): {"content": "<|meta|>", "special": True}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": other}))
    assert load_tokenizer(tmp_path).encode(CAPTION + "<think>") == built.encode(CAPTION + "<think>")


def test_the_end_token_of_a_template_and_of_the_tokenizer(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    newline = tokenizer.encode("\n")
    assert tokenizer.encode_prompt(CAPTION)[-3:] == [151_643, *newline, 151_643]
    assert tokenizer.encode_prompt("la la<|endoftext|>")[-2:] == [151_643, 151_643]


def test_where_a_text_encoders_tokenizer_is_found(tmp_path: Path, vocabulary: Path, folder: Path) -> None:
    rows = tiny_checkpoints.EMBEDDING_ROWS
    assert find_tokenizer(folder, rows, vocabulary).size == rows
    assert find_tokenizer(folder / "model.safetensors", rows, vocabulary).size == rows
    pipeline = tiny_checkpoints.write_tiny(tmp_path / "pipeline", "diffusers").model
    assert find_tokenizer(pipeline / "text_encoder" / "model.safetensors", rows, vocabulary).size == rows

    split = tiny_checkpoints.write_tiny(tmp_path / "split", "comfyui").text_encoder
    bundled = load_tokenizer(vocabulary).size
    assert find_tokenizer(split, rows, vocabulary).size == bundled
    (split.parent / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    assert find_tokenizer(split, rows, vocabulary).size == rows
    assert find_tokenizer(split, rows - 1, vocabulary).size == bundled  # somebody else's tokenizer.json
    with pytest.raises(CheckpointError, match=f"has {bundled - 1} embedding rows but .* {bundled} tokens"):
        find_tokenizer(split, bundled - 1, vocabulary)


@pytest.fixture(scope="module")
def planner_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planner")
    (folder / "tokenizer.json").write_text(json.dumps(planner_tokenizer()), encoding="utf-8")
    return folder


def test_a_planners_tokenizer_is_read_without_its_audio_codes(
    planner_folder: Path, vocabulary: Path, folder: Path
) -> None:
    """`folder` holds the same tokenizer without audio codes."""
    tokenizer = find_planner_tokenizer(planner_folder / "model.safetensors", PLANNER_ROWS, vocabulary)
    assert tokenizer.size == 151_669
    text = "Warm synths <think> <|im_end|> \u96e8"
    assert tokenizer.encode(text) == load_tokenizer(folder).encode(text)
    with pytest.raises(CheckpointError, match="no token <.audio_code_0.>"):
        tokenizer.token_id("<|audio_code_0|>")


def test_where_a_planners_tokenizer_is_found(planner_folder: Path, vocabulary: Path, folder: Path) -> None:
    bundled = load_tokenizer(vocabulary).size
    for weights, rows in ((vocabulary, PLANNER_ROWS), (folder, PLANNER_ROWS), (planner_folder, PLANNER_ROWS + 64)):
        assert find_planner_tokenizer(weights, rows, vocabulary).size == bundled  # none there, or somebody else's


@pytest.mark.parametrize(
    ("content", "index", "message"),
    [
        ("<|audio_code_7|>", 151_677, "gives <.audio_code_7.> the id 151677 instead of 151676"),
        ("<|im_end|>", 151_700, "gives <.im_end.> the id 151700 instead of 151645"),
    ],
)
def test_a_planners_tokenizer_with_other_ids_is_refused(
    tmp_path: Path, vocabulary: Path, content: str, index: int, message: str
) -> None:
    document = planner_tokenizer()
    for token in document["added_tokens"]:
        if token["content"] == content:
            token["id"] = index
    (tmp_path / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        find_planner_tokenizer(tmp_path, PLANNER_ROWS, vocabulary)


@pytest.mark.parametrize("text", ["{", "[]", '{"model": {}}', '{"model": {"vocab": {}}, "added_tokens": []}'])
def test_a_damaged_planner_tokenizer_is_refused(tmp_path: Path, vocabulary: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(CheckpointError, match="cannot be read"):
        find_planner_tokenizer(tmp_path, PLANNER_ROWS, vocabulary)


def test_damaged_and_missing_tokenizers(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no tokenizer"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_tokenizer(tmp_path)
