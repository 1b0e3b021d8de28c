"""Where the lyrics lie in their prompt, what each token completes, and what is a tag."""

from __future__ import annotations

import pytest
import torch
from planted_lyrics import Lyrics, prompted

from ace_core.checkpoints.tokenizer import FIRST_SPECIAL_ID, TextTokenizer
from ace_core.listening.lyric_tokens import lyric_tokens
from ace_core.render.conditions import song_conditions, tokenize
from ace_core.song.blueprint import Blueprint
from ace_core.song.languages import LANGUAGES
from ace_core.tasks.cover import cover_task
from ace_core.tasks.song_task import text_task


def test_the_texts_of_the_tokens_are_the_lyrics(lyrics: Lyrics) -> None:
    assert "".join(lyrics.tokens.texts) == lyrics.text


def test_rows_reach_from_the_header_to_the_first_end_of_text(lyrics: Lyrics, tokenizer: TextTokenizer) -> None:
    rows = lyrics.tokens.rows
    assert tokenizer.decode(lyrics.ids[rows]) == lyrics.text
    assert lyrics.ids[rows.stop :] == (FIRST_SPECIAL_ID, FIRST_SPECIAL_ID)
    assert rows.stop - rows.start == len(lyrics.tokens.texts)


@pytest.mark.parametrize("language", ["unknown", *list(LANGUAGES)[:5], "zh", "yue"])
def test_the_first_row_is_the_header_counted_on_its_own(language: str, tokenizer: TextTokenizer) -> None:
    """The official rule, with the language that the prompt was written with."""
    for text in ("la", "[Verse]\nla", "(oh)", "\u4f60\u597d", "# Lyric\nla\n\n# Lyric\nla"):
        lyrics = prompted(tokenizer, language, text)
        assert lyrics.tokens.first == len(tokenizer.encode(f"# Languages\n{language}\n\n# Lyric\n"))


def test_a_character_belongs_to_the_token_that_completes_it(tokenizer: TextTokenizer) -> None:
    emoji = "\U0001f525"
    lyrics = prompted(tokenizer, "en", f"a{emoji}b")
    spelled = tokenizer.spell(lyrics.ids[lyrics.tokens.rows])
    assert b"".join(spelled) == f"a{emoji}b".encode()
    assert [len(part) for part in spelled] == [1, 1, 1, 1, 1, 1]
    assert lyrics.tokens.texts == ("a", "", "", "", emoji, "b")


def test_a_control_token_in_the_lyrics_is_spelled_out(tokenizer: TextTokenizer) -> None:
    assert "<tool_call>" in prompted(tokenizer, "en", "la <tool_call> la").tokens.texts


def official_texts(tokenizer: TextTokenizer, ids: tuple[int, ...]) -> list[str]:
    """What each token adds to the text of all before it, from whole decodings."""
    texts, before = [], ""
    for end in range(1, len(ids) + 1):
        decoded = tokenizer.decode(ids[:end])
        whole = decoded.rstrip("\ufffd")
        texts.append(whole[len(before) :])
        before = whole
    return texts


def test_texts_equal_decoding_ever_more_tokens(lyrics: Lyrics, tokenizer: TextTokenizer) -> None:
    assert list(lyrics.tokens.texts) == official_texts(tokenizer, lyrics.ids[lyrics.tokens.rows])


@pytest.mark.parametrize(
    ("text", "tags", "others"),
    [
        ("la la", "", "lala"),
        ("[Verse 1]\nla", "[Verse1]", "la"),
        ("la [x] la [y]", "[x][y]", "lala"),
        ("[never closed\nla", "", "[neverclosedla"),
        ("closed] la [x]", "[x]", "closed]la"),
        ("[two\nlines]\nla", "[twolines]", "la"),
    ],
)
def test_tags_are_what_brackets_enclose(text: str, tags: str, others: str, tokenizer: TextTokenizer) -> None:
    tokens = prompted(tokenizer, "en", text).tokens
    found = {True: "", False: ""}
    for part, in_tag in zip(tokens.texts, tokens.in_tag, strict=True):
        found[in_tag] += "".join(part.split())
    assert (found[True], found[False]) == (tags, others)


@pytest.mark.parametrize("ids", [(), (FIRST_SPECIAL_ID,)])
def test_refuses_conditions_without_a_lyric_prompt(ids: tuple[int, ...], tokenizer: TextTokenizer) -> None:
    with pytest.raises(ValueError, match="without a lyric prompt"):
        lyric_tokens(ids, tokenizer)


def test_conditions_carry_the_lyric_ids(tokenizer: TextTokenizer) -> None:
    blueprint = Blueprint(lyrics="la la", language="en", duration_seconds=10)
    packed, silence = torch.zeros(40, 8), torch.zeros(1, 750, 64)
    for task in (text_task(blueprint), cover_task(torch.zeros(250, 64), 480_000, structure="latents")):
        prompt = tokenize(tokenizer, blueprint, task)
        assert song_conditions(task, prompt, packed, silence).lyric_ids == prompt.lyric_ids
