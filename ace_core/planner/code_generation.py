"""The code phase: audio codes for 1 to 8 songs at once.

One step runs the conditional and the unconditional sequence of every song together, computes logits for the legal rows
only, guides them in fp32, chooses one code for each song and feeds it to both of its sequences. Nothing in a step waits
for the device. Every `STEPS_BETWEEN_CHECKS` steps songs that ended leave, and progress is reported.

Traps:
- A song asked for longer than its music ends in filler codes. `ending_codes` lets it end by itself near the end.
- Noise is drawn for the end token even where it is not legal, so that the exact and the natural ending of one seed are
  the same song until it ends.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..models.qwen3 import Qwen3
from ..progress import Progress
from ..runtime import CPU_RUNTIME, Runtime
from ..song.fields import CODE_COUNT, MAX_BATCH_SIZE
from .decoding import CachedDecoder
from .linear import logits_head
from .token_choice import BLOCKED, GumbelNoise, SamplingParameters, choose_tokens, guide
from .vocabulary import FIRST_CODE, TURN_END

STEPS_BETWEEN_CHECKS = 8
END = CODE_COUNT  # the column after the codes


@torch.no_grad()
def generate_codes(
    lm: Qwen3,
    prompts: Sequence[Sequence[int]],
    negative_prompts: Sequence[Sequence[int]] | None,
    counts: Sequence[int],
    parameters: SamplingParameters,
    seeds: Sequence[int],
    *,
    guidance_scale: float = 1.0,
    ending_codes: int = 0,
    runtime: Runtime = CPU_RUNTIME,
    static_step: bool | None = None,
    on_progress: Progress | None = None,
) -> list[list[int]]:
    """Write the audio codes of some songs.

    Args:
        prompts: token ids of each song's prompt, up to where the codes begin.
        negative_prompts: the same for the unconditional sequences; None without guidance.
        counts: codes wanted for each song (5 a second).
        parameters: how a code is chosen.
        seeds: one for each song, 0 to 2^64 - 1.
        guidance_scale: u + scale * (c - u); 1 is off, and then `negative_prompts` is None.
        ending_codes: how many codes before the wanted number the end token becomes legal; 0 for the exact number.
        runtime: where the network runs and in what: bf16 on CUDA, fp32 on the CPU, never fp16.
        static_step: use the step of fixed shapes. None: wherever it is not the CPU.
        on_progress: called with (codes written, largest count), first while the prompts are read.

    Returns:
        Codes 0..63999 of each song: `counts[i]` of them, or fewer where the song ended by itself (at least one).

    Raises:
        ValueError: lengths that do not agree, no song or too many, an empty prompt, a count below 1, guidance without
            negative prompts or the reverse, or a prompt and count beyond the model's positions.
    """
    _check(prompts, negative_prompts, counts, seeds, guidance_scale, ending_codes)
    dtype, device = runtime.dtype, runtime.device
    total = max(counts)

    def report(done: int) -> None:
        if on_progress is not None:
            on_progress(done, total)

    rows = [*prompts, *(negative_prompts or ())]
    branches = len(rows) // len(prompts)
    # The last code is chosen, never fed.
    capacity = max(len(prompt) + counts[row % len(counts)] - 1 for row, prompt in enumerate(rows))
    decoder = CachedDecoder(lm, len(rows), capacity, dtype=dtype, device=device)
    hidden = decoder.read_prompts(rows, lambda: report(0))
    report(0)
    songs = _Songs(lm, counts, parameters, seeds, guidance_scale, ending_codes, dtype=dtype, device=device)
    fixed = device.type != "cpu" if static_step is None else static_step
    advance = decoder.static_step() if fixed else decoder.step
    while True:
        ids = songs.choose_codes(hidden)
        if songs.step % STEPS_BETWEEN_CHECKS == 0:
            report(songs.step)
        places = songs.drop_finished()
        if not places:
            break
        if len(places) < len(ids):
            decoder.keep([branch * len(ids) + place for branch in range(branches) for place in places])
            advance = decoder.static_step() if fixed else decoder.step
            ids = ids[places]
        hidden = advance(ids.repeat(branches))
    report(total)
    return songs.codes


class _Songs:
    """What a run knows about its songs: codes, noise, and which of them still go on, in the order of the rows."""

    def __init__(
        self,
        lm: Qwen3,
        counts: Sequence[int],
        parameters: SamplingParameters,
        seeds: Sequence[int],
        guidance_scale: float,
        ending_codes: int,
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.codes: list[list[int]] = [[] for _ in counts]
        self.step = 0
        self._going = list(range(len(counts)))
        self._counts = counts
        self._ending_codes = ending_codes
        self._parameters = parameters
        self._guidance_scale = guidance_scale
        self._device = device
        end_code = FIRST_CODE + CODE_COUNT
        self._code_head = logits_head(lm.embed_tokens, FIRST_CODE, end_code, dtype=dtype, device=device)
        self._end_head = logits_head(lm.embed_tokens, TURN_END, TURN_END + 1, dtype=dtype, device=device)
        self._streams = [GumbelNoise(seed, "codes") for seed in seeds]
        self._noise: Tensor | None = None  # [songs, steps, codes and end]
        self._unread: list[Tensor] = []
        self._seen: Tensor | None = None
        if parameters.repetition_penalty != 1:
            self._seen = torch.zeros(len(counts), CODE_COUNT + 1, dtype=torch.bool, device=device)

    def choose_codes(self, hidden: Tensor) -> Tensor:
        """Choose the next token of every song that goes on.

        Args:
            hidden: final hidden states [branches * songs, hidden], conditional rows first.

        Returns:
            Token ids [songs].
        """
        blocked = [not self._may_end(song) for song in self._going]
        logits = self._code_head(hidden)
        if not all(blocked):
            logits = torch.cat((logits, self._end_head(hidden)), dim=-1)
        if len(hidden) > len(self._going):
            logits = guide(logits, self._guidance_scale)
        if any(blocked) and not all(blocked):
            logits[:, END].masked_fill_(torch.tensor(blocked, device=self._device), BLOCKED)
        columns = logits.shape[-1]
        seen = self._seen
        noise = self._next_noise()
        chosen = choose_tokens(
            logits,
            None if noise is None else noise[:, :columns],
            self._parameters,
            None if seen is None else seen[:, :columns],
        )
        if seen is not None:
            seen.scatter_(1, chosen[:, None], True)
        self._unread.append(chosen)
        self.step += 1
        ids = chosen + FIRST_CODE
        return ids if all(blocked) else ids.masked_fill_(chosen == END, TURN_END)

    def drop_finished(self) -> list[int]:
        """Drop songs that are complete or, when it is time to look, have ended; the places of those that stay."""
        complete = any(self._counts[song] == self.step for song in self._going)
        if not complete and self.step % STEPS_BETWEEN_CHECKS:
            return list(range(len(self._going)))
        ended = self._read()
        places = [
            place for place, song in enumerate(self._going) if self._counts[song] > self.step and song not in ended
        ]
        if len(places) < len(self._going):
            self._going = [self._going[place] for place in places]
            self._streams = [self._streams[place] for place in places]
            self._noise = None if self._noise is None else self._noise[places]
            self._seen = None if self._seen is None else self._seen[places]
        return places

    def _may_end(self, song: int) -> bool:
        return self.step >= max(1, self._counts[song] - self._ending_codes)

    def _next_noise(self) -> Tensor | None:
        """Gumbel numbers [songs, codes and end] of this step, drawn for several steps at once."""
        if self._parameters.temperature == 0:
            return None
        step = self.step % STEPS_BETWEEN_CHECKS
        if step == 0 or self._noise is None:
            drawn = [stream.draw(STEPS_BETWEEN_CHECKS, CODE_COUNT + 1) for stream in self._streams]
            self._noise = torch.stack(drawn).to(self._device)
        return self._noise[:, step]

    def _read(self) -> set[int]:
        """Move the chosen codes to the host; the songs in which the end token was among them."""
        ended = set()
        for song, row in zip(self._going, torch.stack(self._unread, dim=1).tolist(), strict=True):
            if END in row:
                ended.add(song)
                row = row[: row.index(END)]
            self.codes[song] += row
        self._unread = []
        return ended


def _check(
    prompts: Sequence[Sequence[int]],
    negative_prompts: Sequence[Sequence[int]] | None,
    counts: Sequence[int],
    seeds: Sequence[int],
    guidance_scale: float,
    ending_codes: int,
) -> None:
    if not 1 <= len(prompts) <= MAX_BATCH_SIZE:
        raise ValueError(f"a run plans 1 to {MAX_BATCH_SIZE} songs, got {len(prompts)}")
    for name, values in (("negative prompts", negative_prompts), ("counts", counts), ("seeds", seeds)):
        if values is not None and len(values) != len(prompts):
            raise ValueError(f"got {len(values)} {name} for {len(prompts)} songs: give one for each")
    if not all((*prompts, *(negative_prompts or ()))):
        raise ValueError("a prompt is empty; it must hold at least one token")
    if min(counts) < 1:
        raise ValueError(f"a song needs at least one code, got counts {list(counts)}")
    if (guidance_scale != 1) != (negative_prompts is not None):
        raise ValueError(
            f"guidance needs negative prompts and a scale other than 1, got scale {guidance_scale} and "
            f"{'no' if negative_prompts is None else len(negative_prompts)} negative prompts"
        )
    if ending_codes < 0:
        raise ValueError(f"ending_codes must be 0 (exact length) or more, got {ending_codes}")
