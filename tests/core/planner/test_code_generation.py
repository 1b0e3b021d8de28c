"""The code phase against transformers on shared small weights, and against itself: batches, seeds, endings, cancel."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from tiny_planner import TINY, planner_network, planner_peer, planner_weights
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    Qwen3ForCausalLM,
    RepetitionPenaltyLogitsProcessor,
)

from ace_core.models.qwen3 import Qwen3
from ace_core.planner import decoding
from ace_core.planner.cache import allocate_cache, cache_bytes
from ace_core.planner.code_generation import STEPS_BETWEEN_CHECKS, generate_codes
from ace_core.planner.token_choice import SamplingParameters
from ace_core.planner.vocabulary import FIRST_CODE, MAX_POSITIONS, TURN_END
from ace_core.song.fields import CODE_COUNT

GREEDY = SamplingParameters(temperature=0)
SAMPLED = SamplingParameters(temperature=1, top_p=0.95)
CODES = slice(FIRST_CODE, FIRST_CODE + CODE_COUNT)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return planner_weights(0)


@pytest.fixture(scope="module")
def lm(weights: dict[str, Tensor]) -> Qwen3:
    return planner_network(weights)


@pytest.fixture(scope="module")
def eager_lm(weights: dict[str, Tensor]) -> Qwen3:
    """A planner that would often like to end: the row of the end token is long."""
    row = 3 * torch.randn(TINY.hidden_size, generator=torch.Generator().manual_seed(5))
    embedding = weights["embed_tokens.weight"].clone()
    embedding[TURN_END] = row.to(embedding.dtype)
    return planner_network(weights | {"embed_tokens.weight": embedding})


@pytest.fixture(scope="module")
def peer(weights: dict[str, Tensor]) -> Qwen3ForCausalLM:
    return planner_peer(weights)


def prompt(length: int, seed: int = 0) -> list[int]:
    ids: list[int] = torch.randint(FIRST_CODE, (length,), generator=torch.Generator().manual_seed(seed)).tolist()
    return ids


class OnlyCodes(LogitsProcessor):
    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        legal = torch.full_like(scores, float("-inf"))
        legal[:, CODES] = scores[:, CODES]
        return legal


def guided_reference(
    peer: Qwen3ForCausalLM,
    prompt: Sequence[int],
    negative: Sequence[int],
    count: int,
    scale: float,
    penalty: float = 1.0,
) -> list[int]:
    """Both sequences read from the start for every code."""
    codes: list[int] = []
    for _ in range(count):
        new = [FIRST_CODE + code for code in codes]
        conditional, unconditional = (
            peer(torch.tensor([[*text, *new]]), logits_to_keep=1).logits[0, -1, CODES] for text in (prompt, negative)
        )
        logits = (unconditional + scale * (conditional - unconditional))[None]
        logits = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([codes], dtype=torch.int64), logits)
        codes.append(int(logits.argmax()))
    return codes


@pytest.mark.parametrize("length", [1, 2, 37, 511, 512, 513, 2000])
def test_greedy_codes_equal_transformers_generate(lm: Qwen3, peer: Qwen3ForCausalLM, length: int) -> None:
    ids = torch.tensor([prompt(length)])
    expected = peer.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        logits_processor=LogitsProcessorList([OnlyCodes()]),
        do_sample=False,
        max_new_tokens=24,
        pad_token_id=0,
    )[0, length:]

    codes = generate_codes(lm, [prompt(length)], None, [24], GREEDY, [0])

    assert codes == [(expected - FIRST_CODE).tolist()]
    assert len(set(codes[0])) > 4


@pytest.mark.parametrize(("length", "negative_length"), [(1, 1), (3, 60), (300, 20), (2000, 35)])
@torch.no_grad()
def test_guided_greedy_codes_equal_a_plain_reference(
    lm: Qwen3, peer: Qwen3ForCausalLM, length: int, negative_length: int
) -> None:
    conditional, negative = prompt(length), prompt(negative_length, seed=1)
    expected = guided_reference(peer, conditional, negative, 12, 2.0)

    codes = generate_codes(lm, [conditional], [negative], [12], GREEDY, [0], guidance_scale=2.0)

    assert codes == [expected]
    assert codes != generate_codes(lm, [conditional], None, [12], GREEDY, [0])


@torch.no_grad()
def test_the_repetition_penalty_comes_after_guidance(lm: Qwen3, peer: Qwen3ForCausalLM) -> None:
    expected = guided_reference(peer, prompt(5), [4, 5], 32, 1.2, penalty=1.4)
    parameters = SamplingParameters(temperature=0, repetition_penalty=1.4)
    codes = generate_codes(lm, [prompt(5)], [[4, 5]], [32], parameters, [0], guidance_scale=1.2)
    assert codes == [expected]
    assert codes != generate_codes(lm, [prompt(5)], [[4, 5]], [32], GREEDY, [0], guidance_scale=1.2)


@pytest.mark.parametrize("static_step", [False, True])
@pytest.mark.parametrize("parameters", [GREEDY, SAMPLED, SamplingParameters(repetition_penalty=1.3, top_k=50)])
def test_a_batch_is_its_songs_alone(lm: Qwen3, parameters: SamplingParameters, static_step: bool) -> None:
    prompts = [prompt(40), prompt(7, seed=1), prompt(40), prompt(200, seed=2)]
    negatives = [prompt(5, seed=3)] * 4
    counts, seeds = [12, 19, 12, 5], [1, 2, 3, 2**64 - 1]

    together = generate_codes(
        lm, prompts, negatives, counts, parameters, seeds, guidance_scale=1.5, static_step=static_step
    )

    for song in range(4):
        alone = generate_codes(
            lm,
            prompts[song : song + 1],
            negatives[:1],
            counts[song : song + 1],
            parameters,
            seeds[song : song + 1],
            guidance_scale=1.5,
        )
        assert together[song] == alone[0]
    assert [len(codes) for codes in together] == counts
    assert all(0 <= code < CODE_COUNT for codes in together for code in codes)
    assert (together[0] == together[2]) == (parameters.temperature == 0)  # the same prompt with two seeds


def test_a_song_ends_by_itself_only_near_its_end(eager_lm: Qwen3) -> None:
    prompts, counts, seeds = [prompt(20 + song, seed=song) for song in range(5)], [22, 22, 13, 22, 30], list(range(5))
    exact = generate_codes(eager_lm, prompts, None, counts, SAMPLED, seeds)
    natural = generate_codes(eager_lm, prompts, None, counts, SAMPLED, seeds, ending_codes=10)

    assert [len(codes) for codes in exact] == counts
    lengths = [len(codes) for codes in natural]
    assert all(count - 10 <= length <= count for count, length in zip(counts, lengths, strict=True))
    assert lengths != counts
    assert [codes[:length] for codes, length in zip(exact, lengths, strict=True)] == natural
    for song in (1, 4):
        alone = generate_codes(
            eager_lm,
            prompts[song : song + 1],
            None,
            counts[song : song + 1],
            SAMPLED,
            seeds[song : song + 1],
            ending_codes=10,
            static_step=True,
        )
        assert alone == [natural[song]]


def test_a_song_has_at_least_one_code(eager_lm: Qwen3) -> None:
    prompts = [prompt(3, seed=song) for song in range(8)]
    codes = generate_codes(eager_lm, prompts, None, [4] * 8, GREEDY, range(8), ending_codes=20)
    assert min(map(len, codes)) == 1 and max(map(len, codes)) > 1


def test_the_cache_holds_the_prompt_and_what_is_fed(lm: Qwen3, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []

    def recording(config: object, rows: int, capacity: int, *rest: object) -> object:
        sizes.append((rows, capacity))
        return allocate_cache(config, rows, capacity, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(decoding, "allocate_cache", recording)
    before = {name: set(vars(module)) for name, module in lm.named_modules()}

    generate_codes(
        lm, [prompt(10), prompt(30)], [prompt(3)] * 2, [50, 5], GREEDY, [0, 1], guidance_scale=2, ending_codes=0
    )

    assert sizes == [(4, 59)]  # 10 + 50 tokens, of which the last is never fed
    assert before == {name: set(vars(module)) for name, module in lm.named_modules()}
    cache = allocate_cache(TINY, 4, 59, torch.bfloat16, "cpu")
    assert sum(tensor.nbytes for tensor in (*cache.keys, *cache.values)) == cache_bytes(TINY, 4, 59, torch.bfloat16)
    assert len(cache.keys) == TINY.num_layers and cache.keys[0].shape == (4, 2, 59, 16)


def test_a_shared_prompt_is_read_once(lm: Qwen3) -> None:
    fed: list[int] = []
    hook = lm.embed_tokens.register_forward_hook(lambda _module, inputs, _output: fed.append(inputs[0].numel()))
    try:
        generate_codes(lm, [prompt(90)] * 4, [prompt(8)] * 4, [3] * 4, SAMPLED, range(4), guidance_scale=2)
    finally:
        hook.remove()
    assert fed == [90, 8, 8, 8]


class Cancelled(Exception):
    pass


@pytest.mark.parametrize("when", [0, 2 * STEPS_BETWEEN_CHECKS])
def test_cancel_flies_through(lm: Qwen3, when: int) -> None:
    seen: list[int] = []

    def on_progress(done: int, total: int) -> None:
        assert total == 100
        seen.append(done)
        if done == when:
            raise Cancelled

    with pytest.raises(Cancelled):
        generate_codes(lm, [prompt(4)], None, [100], GREEDY, [0], on_progress=on_progress)
    assert seen[-1] == when


def test_progress_grows_to_the_total(lm: Qwen3) -> None:
    seen: list[tuple[int, int]] = []
    generate_codes(
        lm, [prompt(4), prompt(6)], None, [21, 3], GREEDY, [0, 1], on_progress=lambda *pair: seen.append(pair)
    )
    assert seen == sorted(seen) and seen[0] == (0, 21) and (16, 21) in seen and seen[-1] == (21, 21)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": []}, "1 to 8 songs, got 0"),
        ({"prompts": [[1]] * 9}, "1 to 8 songs, got 9"),
        ({"counts": [3, 3]}, "2 counts for 1 songs"),
        ({"seeds": []}, "0 seeds for 1 songs"),
        ({"negative_prompts": [[1], [1]], "guidance_scale": 2}, "2 negative prompts for 1 songs"),
        ({"prompts": [[]]}, "prompt is empty"),
        ({"counts": [0]}, "at least one code"),
        ({"guidance_scale": 2}, "guidance needs negative prompts"),
        ({"negative_prompts": [[1]]}, "guidance needs negative prompts"),
        ({"ending_codes": -1}, "ending_codes must be 0"),
        ({"counts": [MAX_POSITIONS + 1]}, f"{MAX_POSITIONS + 1}, but the planner has only {MAX_POSITIONS} positions"),
    ],
)
def test_wrong_arguments_are_refused(lm: Qwen3, change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {
        "prompts": [[1]],
        "negative_prompts": None,
        "counts": [3],
        "parameters": GREEDY,
        "seeds": [0],
    }
    with pytest.raises(ValueError, match=message):
        generate_codes(lm, **(arguments | change))  # type: ignore[arg-type]
