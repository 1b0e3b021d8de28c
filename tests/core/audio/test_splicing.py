"""The splice: the original bit for bit outside the spans and their fades, the window inside, steady power between."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ace_core.audio.splicing import SampleSpan, Splice, splice

repeatable = settings(deadline=None, derandomize=True, max_examples=300)


def noise(seed: int, samples: int, level: float = 0.1) -> Tensor:
    return level * torch.randn(2, samples, generator=torch.Generator().manual_seed(seed))


@st.composite
def plans(draw: st.DrawFn) -> tuple[Splice, int]:
    """A splice and the length of its window."""
    samples = draw(st.integers(30, 400))
    window_start = draw(st.integers(0, samples - 10))
    window_end = draw(st.integers(window_start + 5, samples + 40))
    last = min(window_end, samples)
    edges = sorted(draw(st.sets(st.integers(window_start, last), min_size=2, max_size=8)))
    spans = tuple(SampleSpan(*pair) for pair in zip(edges[::2], edges[1::2], strict=False))
    return Splice(noise(0, samples), window_start, spans, draw(st.integers(0, 60))), window_end - window_start


@repeatable
@given(plans())
def test_nothing_changes_outside_the_spans_and_their_fades(drawn: tuple[Splice, int]) -> None:
    plan, window_samples = drawn
    window = noise(1, window_samples)
    before = plan.original.clone()
    result = splice(window, plan)
    assert result.shape == plan.original.shape
    assert torch.equal(plan.original, before)

    untouched = torch.ones(result.shape[1], dtype=torch.bool)
    for start, end in plan.generated:
        untouched[max(plan.window_start, start - plan.fade_samples) : end + plan.fade_samples] = False
        assert torch.equal(result[:, start:end], window[:, start - plan.window_start : end - plan.window_start])
    assert torch.equal(result[:, untouched], plan.original[:, untouched])
    assert result.isfinite().all()


@repeatable
@given(plans())
def test_a_perfect_reproduction_leaves_no_trace(drawn: tuple[Splice, int]) -> None:
    """Gains that add up to one: equal-power gains would swell by 3 dB."""
    plan, window_samples = drawn
    longer = torch.cat((plan.original, noise(2, 40)), dim=1)
    result = splice(longer[:, plan.window_start :][:, :window_samples], plan)
    torch.testing.assert_close(result, plan.original, atol=1e-6, rtol=1e-5)


def test_fades_lie_in_the_original_beside_the_span() -> None:
    plan = Splice(torch.zeros(2, 100), 0, (SampleSpan(40, 60),), 10)
    result = splice(torch.ones(2, 100), plan)
    assert (result[:, 40:60] == 1).all()
    assert not result[:, :30].any() and not result[:, 70:].any()
    gains = ((torch.arange(10) + 0.5) / 10 * math.pi / 2).sin()
    torch.testing.assert_close(result[:, 30:40], gains.expand(2, -1))
    torch.testing.assert_close(result[:, 60:70], gains.flip(0).expand(2, -1))


@pytest.mark.parametrize("gap", [1, 2, 7, 8])
def test_neighbours_share_the_room_between_them(gap: int) -> None:
    spans = (SampleSpan(20, 30), SampleSpan(30 + gap, 50))
    original, window = noise(0, 80), noise(1, 80)
    result = splice(window, Splice(original, 0, spans, 10))
    rooms = (gap // 2, gap - gap // 2)
    first, second = (
        splice(window, Splice(original, 0, (span,), min(10, room))) for span, room in zip(spans, rooms, strict=True)
    )
    middle = 30 + gap // 2
    assert torch.equal(result[:, 20:middle], first[:, 20:middle])
    assert torch.equal(result[:, middle:50], second[:, middle:50])


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.7, 1.0])
def test_the_power_stays_throughout_a_fade(correlation: float) -> None:
    samples = 60_000
    original = noise(0, samples)
    window = correlation * original + math.sqrt(1 - correlation**2) * noise(1, samples)
    result = splice(window, Splice(original, 0, (SampleSpan(50_000, samples),), 50_000))
    power = result.square().mean(0)[:50_000].unflatten(0, (10, -1)).mean(1)
    assert power.sqrt().tolist() == pytest.approx([0.1] * 10, rel=0.02)


def test_a_fade_from_or_to_silence_is_an_equal_power_fade() -> None:
    silence, sound = torch.zeros(2, 40), noise(0, 40)
    gains = ((torch.arange(10) + 0.5) / 10 * math.pi / 2).cos()
    falling = splice(sound, Splice(silence, 0, (SampleSpan(0, 20),), 10))
    torch.testing.assert_close(falling[:, 20:30], sound[:, 20:30] * gains)
    rising = splice(silence, Splice(sound, 0, (SampleSpan(0, 20),), 10))
    torch.testing.assert_close(rising[:, 20:30], sound[:, 20:30] * gains.flip(0))


def test_a_window_above_full_scale_is_brought_down_where_it_is_used() -> None:
    original, window = noise(0, 400), noise(1, 400)
    spans = (SampleSpan(100, 150), SampleSpan(250, 300))
    quiet = splice(window, Splice(original, 0, spans, 20))
    window[0, 10] = 9.0  # outside of what is used: nobody hears it
    assert torch.equal(splice(window, Splice(original, 0, spans, 20)), quiet)
    window[0, 120] = -2.0
    loud = splice(window, Splice(original, 0, spans, 20))
    assert torch.equal(loud[:, 100:150], window[:, 100:150] / 2)
    assert torch.equal(loud[:, 200:], quiet[:, 200:])


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (torch.zeros(2, 39), r"covers samples 10 to 49 of the song and 20 to 50 are needed: use the task"),
        (torch.zeros(1, 60), "the generated audio has 1 channels, the original 2"),
    ],
)
def test_a_window_of_another_task_is_refused(window: Tensor, message: str) -> None:
    plan = Splice(torch.zeros(2, 100), 10, (SampleSpan(20, 50),), 5)
    with pytest.raises(ValueError, match=message):
        splice(window, plan)


def test_a_span_before_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="covers samples 10 to 70 of the song and 5 to 50 are needed"):
        splice(torch.zeros(2, 60), Splice(torch.zeros(2, 100), 10, (SampleSpan(5, 50),), 5))
