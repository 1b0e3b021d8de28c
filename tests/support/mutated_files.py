"""Damaged files of every kind for every reader: python tests/support/mutated_files.py SEED COUNT FOLDER.

A forked child reads `CASES_A_CHILD` files, one after the other. The system ends it when one takes more than `SECONDS`
of processor time or `WAITING_SECONDS` in all, and refuses it more than `BYTES` of new memory; the next child goes on
behind the case. Prints JSON: figures, and the cases that did not end in a result or in a sentence (`sentences.py`).
"""

from __future__ import annotations

import copy
import json
import os
import random
import resource
import signal
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":  # run as a script: the repository is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from readers import ATTACKS, KINDS, Kind, write_originals
from sentences import raw_error

CASES_A_CHILD = 50
SECONDS = 10
WAITING_SECONDS = 300
BYTES = 3_000_000_000
LONGEST = 200_000  # characters put into a text: what takes time for each pair of them takes minutes
RESULT, SENTENCE = "a result", "a sentence"
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, 10**19, 10**400, 1e308, float("inf"), float("nan"), 0.5, "", "x", "../x"),
    *("\ud800", "\0", "x" * 10_000, [], {}, [[]], [None], {"": None}, ["x"] * 1000),
)
PIECES: tuple[str, ...] = (
    *" \n\t[]<>{}()\\`~*_#:,.|\"'&-1aA%\0\ufeff\u2028\u266a\u0301\x85",
    *("<think>", "</think>", "```\n", "~~~\n", "{\\p1}", "{\\p0}", "<a>", "</a>", "<caption>", "&amp;", "[00:01.00]"),
    *("[1:", "(1,1)", "<00:01.00>", "00:01.000 --> 00:02.000\n", "1:", "1,", "a ", "- ", " \n", "[a:", "[bg:", "F:"),
    *("Dialogue: ", "a: b\n", "\n\n", '{"a":', "<!ENTITY ", "<p>", "here is ", "\n\nlet me know if ", "9" * 400),
    *("\nlyrics by ", "QQ\u97f3\u4e50", "a=", "[[", '"a",', "\r", "\u0130"),
)


class Case(NamedTuple):
    """Which file is damaged, and how: by the seed `number`, or by `text` in its place; neither is the file as it is."""

    name: str
    number: int | None = None
    text: str | None = None


class Outcome(NamedTuple):
    case: Case
    said: str
    seconds: float


def damaged(content: bytes, place: str, chance: random.Random) -> bytes:
    """A damaged copy: of its JSON or text where it has some and the dice say so, else of its bytes."""
    suffix = Path(place).suffix
    if chance.random() < 0.6:
        if suffix == ".safetensors":
            size = int.from_bytes(content[:8], "little")
            header = _damaged_json(content[8 : 8 + size], chance)
            return struct.pack("<Q", len(header)) + header + content[8 + size :]
        if suffix == ".json" and chance.random() < 0.8:
            return _damaged_json(content, chance)
        if suffix not in (".pt", ".flac", ".wav", ".mp3", ".opus", ".m4a", ""):
            return _damaged_text(content, chance)
    return _damaged_bytes(content, chance)


def _damaged_json(content: bytes, chance: random.Random) -> bytes:
    if chance.random() < 0.05:
        return b"[" * 100_000
    document = json.loads(content)
    for _ in range(chance.randint(1, 3)):
        document = _changed(document, chance)
    return json.dumps(document).encode()


def _changed(value: Any, chance: random.Random) -> Any:
    if not value or not isinstance(value, dict | list) or chance.random() < 0.1:
        return copy.deepcopy(chance.choice(VALUES))
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = chance.choice(list(keys))
    action = chance.random()
    if action < 0.15:
        del value[key]
    elif action < 0.25 and isinstance(value, dict):
        value[f"{key}{chance.choice(('x', '.999999999', '0'))}"] = value.pop(key)
    else:
        value[key] = _changed(value[key], chance)
    return value


def _damaged_text(content: bytes, chance: random.Random) -> bytes:
    """The text with pieces of syntax in it, some of them many times."""
    text = content.decode("utf-8")
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(text) + 1)
        piece = "".join(chance.choices(PIECES, k=chance.choice((1, 1, 2))))
        times = chance.choice((1, 3, 100, LONGEST // len(piece)))
        text = text[:at] + piece * times + text[at + chance.choice((0, 0, 1, 5)) :]
    return text.encode("utf-8", "surrogatepass")


def _damaged_bytes(content: bytes, chance: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(chance.choice((1, 2, 8, 64))):
        at = chance.randrange(len(data) + 1)
        if chance.random() < 0.7:
            at = min(at, chance.randrange(1, 4096))  # where headers are
        action = chance.randrange(5)
        if action == 0:
            del data[at:]
        elif action == 1:
            data[at:at] = chance.randbytes(chance.choice((1, 4, 100)))
        elif action == 2:
            data[at : at + 8] = chance.choice((b"\xff" * 8, b"\0" * 8, b"9" * 400, b"\x7f" + b"\xff" * 7))
        elif at < len(data):
            data[at] = chance.randrange(256)
    return bytes(data)


def read_case(folder: Path, case: Case) -> str:
    """How reading a file ends: `RESULT`, `SENTENCE`, or what else it raised."""
    kind = KINDS[case.name]
    path = folder / kind.place
    content = path.read_bytes()
    if case.number is not None or case.text is not None:
        changed = damaged(content, kind.place, random.Random(case.number)) if case.text is None else case.text.encode()
        path.unlink()  # a reader may still hold the file of the case before
        path.write_bytes(changed)
    try:
        return _said(kind, path)
    finally:
        path.unlink()
        path.write_bytes(content)


def _said(kind: Kind, path: Path) -> str:
    try:
        kind.read(path)
    except BaseException as error:
        return raw_error(error) or SENTENCE
    return RESULT


def child_reads(folder: Path, cases: Sequence[Case], sending: int) -> None:
    """Read cases under limits; a line before each and one after it."""
    for number, case in enumerate(cases):
        os.write(sending, f"{number}\n".encode())
        _limit()
        started = time.process_time()
        said = read_case(folder, case)
        answer = json.dumps([number, said, time.process_time() - started])
        os.write(sending, f"{answer}\n".encode())


def _limit() -> None:
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # what these signals do to a process by themselves is end it
    signal.alarm(WAITING_SECONDS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, resource.RLIM_INFINITY))


def outcomes(folder: Path, cases: Sequence[Case]) -> Iterator[Outcome]:
    """Read cases in one child; where it is ended, that is the outcome of its case and the last."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            child_reads(folder, cases, sending)
            status = 0
        finally:
            os._exit(status)
    os.close(sending)
    begun = ""
    with open(receiving, encoding="utf-8") as lines:
        for line in lines:
            begun = ""
            if line.startswith("["):
                number, said, seconds = json.loads(line)
                yield Outcome(cases[number], said, seconds)
            else:
                begun = line
    _, status = os.waitpid(child, 0)
    if begun:
        how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {os.WEXITSTATUS(status)}"
        yield Outcome(cases[int(begun)], f"ended by {how}", SECONDS)


def all_outcomes(folder: Path, cases: Sequence[Case]) -> Iterator[Outcome]:
    done = 0
    while done < len(cases):
        part = cases[done : done + CASES_A_CHILD]
        contents = {path: path.read_bytes() for path in {folder / KINDS[case.name].place for case in part}}
        for outcome in outcomes(folder, part):
            done += 1
            yield outcome
        for path, content in contents.items():
            path.unlink(missing_ok=True)
            path.write_bytes(content)


def _shown(case: Case) -> str:
    return f"{case.name} {case.number}" if case.text is None else f"{case.name} {ascii(case.text[:60])}..."


def main() -> None:
    torch.set_num_threads(1)
    seed, count, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    write_originals(folder)
    started = time.monotonic()
    names = list(KINDS)
    cases = [Case(name) for name in names]
    cases += [Case(name, text=text) for name, text in ATTACKS]
    cases += [Case(names[number % len(names)], number) for number in range(seed, seed + count)]
    found = sorted(all_outcomes(folder, cases), key=lambda outcome: -outcome.seconds)
    wrong = [
        outcome
        for outcome in found
        if outcome.said != RESULT and (outcome.case in cases[: len(names)] or outcome.said != SENTENCE)
    ]
    report = {
        "cases": len(found),
        "said": Counter(outcome.said if outcome.said in (RESULT, SENTENCE) else "else" for outcome in found),
        "seconds": round(time.monotonic() - started, 1),
        "slowest": [[_shown(outcome.case), round(outcome.seconds, 2)] for outcome in found[:5]],
        "wrong": [[_shown(outcome.case), outcome.said] for outcome in wrong],
    }
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
