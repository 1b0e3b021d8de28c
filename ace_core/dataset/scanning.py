"""From a folder to clips: every recording below it with what the files beside it say.

What is said about a song, the first to say it wins:

1. the dataset JSON: the one that was chosen, else the first in the folder. It lists the songs of the dataset.
2. `song.json` beside `song.mp3`: fields
3. `song.txt` and `song.lrc`: lyrics
4. the table in the folder, `.csv`: columns File, BPM, Key, Caption, and any other field

A file that cannot be used is skipped with a reason; nothing here fails because of one.

Traps:
- What a link leads to counts, not where it lies: nothing outside the root is opened, whatever it is.
- Lyrics that cannot be read skip their song, since it would be trained as an instrumental. Other values are left out.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..audio.demuxers import DEMUXERS
from ..progress import Progress, share_of_progress
from .dataset import Clip, FileProblem, Skipped, with_facts
from .facts import MAX_TABLE_BYTES, Facts, lyrics_of_lrc, read_facts, read_table, read_text
from .official_json import MAX_DATASET_BYTES, Sample, is_dataset_json, matching_name, parse_json, read_samples
from .recordings import clip_seconds

TEXT_SUFFIXES = (".txt", ".lrc")
SIDECAR_SUFFIXES = (*TEXT_SUFFIXES, ".json", ".csv")


class Scan(NamedTuple):
    """What a folder holds: clips in the order of their names, or of the dataset JSON; what was skipped; remarks."""

    clips: tuple[Clip, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]


class _Report(NamedTuple):
    skipped: list[Skipped]
    notes: list[str]


class _Files(NamedTuple):
    """Files below the folder that may be read, by their names: recordings, and what may say something about them."""

    recordings: dict[str, Path]
    sidecars: dict[str, Path]


class _Said(NamedTuple):
    """What one file says about songs: facts by the name of the recording."""

    source: str
    facts: dict[str, Facts]


def scan_folder(
    folder: Path, root: Path, *, dataset_json: Path | None = None, on_progress: Progress | None = None
) -> Scan:
    """Find the recordings below a folder, look into each, and read the texts beside it.

    Args:
        folder: where to look, `root` or below it.
        root: nothing outside it is read. dataset_json is the one exception.
        dataset_json: the official dataset JSON to take instead of the folder's own.
        on_progress: called with parts done, and in all.
    """
    root = Path(os.path.realpath(root))
    report = _Report([], [])
    files = _listed(folder, root, report)
    listing = _listing(files, dataset_json, report)
    names = list(files.recordings) if listing is None else list(listing.facts)
    table = _table(files, report)

    clips = []
    for number, name in enumerate(names):
        share = share_of_progress(on_progress, number, len(names))
        if share is not None:
            share(0, 1)
        try:
            seconds = clip_seconds(files.recordings[name], share)
            said = [*(said for said in (listing,) if said), *_beside(name, files), *(said for said in (table,) if said)]
            clips.append(_clip(name, files.recordings[name], seconds, said, report.notes))
        except ValueError as error:
            report.skipped.append(Skipped.because_of(name, error))
    return Scan(tuple(clips), tuple(report.skipped), tuple(report.notes))


def folder_stamp(folder: Path) -> str:
    """Changes with any file below a folder that a scan would look at, as far as names, sizes and times tell."""
    digest = hashlib.sha256()
    for path in _walk(folder):
        if path.suffix.lower() in (*DEMUXERS, *SIDECAR_SUFFIXES):
            status = path.lstat()
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder in the order of their names, without hidden ones; links to folders are yielded as they are.

    A folder that cannot be listed has nothing in it.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in [*files, *(name for name in folders if os.path.islink(os.path.join(place, name)))]:
            if not name.startswith("."):
                yield Path(place, name)


def _listed(folder: Path, root: Path, report: _Report) -> _Files:
    """The files below the folder; skips links that lead out or to folders, and second versions of a recording."""
    files = _Files({}, {})
    stems: dict[str, str] = {}
    for path in sorted(_walk(folder)):
        name = path.relative_to(folder).as_posix()
        target = Path(os.path.realpath(path))
        suffix = path.suffix.lower()
        if target.is_dir():
            report.skipped.append(Skipped(name, "is a link to a folder: links to folders are not followed"))
        elif suffix not in (*DEMUXERS, *SIDECAR_SUFFIXES):
            continue
        elif not target.is_relative_to(root):
            report.skipped.append(Skipped(name, "is a link that leads out of the dataset's root"))
        elif suffix in SIDECAR_SUFFIXES:
            files.sidecars[name.removesuffix(path.suffix) + suffix] = path
        elif (first := stems.setdefault(name.removesuffix(path.suffix), name)) != name:
            report.skipped.append(Skipped(name, f"has the same name as {first}, which is taken"))
        else:
            files.recordings[name] = path
    for name in files.sidecars:
        if name.endswith(TEXT_SUFFIXES) and name.rpartition(".")[0] not in stems:
            report.skipped.append(Skipped(name, "belongs to no recording"))
    return files


def _listing(files: _Files, chosen: Path | None, report: _Report) -> _Said | None:
    """What the dataset JSON says, about its songs in its order; recordings that it does not list are skipped."""
    found: tuple[str, list[Sample]] | None = None
    if chosen is not None:
        try:
            found = chosen.name, read_samples(parse_json(read_text(chosen, MAX_DATASET_BYTES)))
        except ValueError as error:
            raise ValueError(f"{chosen.name} {error}") from error
    stems = {name.rpartition(".")[0] for name in files.recordings}
    for name, path in files.sidecars.items():
        if not name.endswith(".json") or name.rpartition(".")[0] in stems:
            continue
        try:
            document = parse_json(read_text(path, MAX_DATASET_BYTES))
            if not is_dataset_json(document):
                raise FileProblem("belongs to no recording and is not a dataset")
            if found is not None:
                raise FileProblem(f"is not used: {found[0]} lists the songs")
            found = name, read_samples(document)
        except ValueError as error:
            report.skipped.append(Skipped.because_of(name, error))
    return None if found is None else _matched(*found, files, report)


def _matched(source: str, samples: list[Sample], files: _Files, report: _Report) -> _Said:
    facts: dict[str, Facts] = {}
    for sample in samples:
        name = matching_name(sample.audio_path, files.recordings)
        last = sample.audio_path.rpartition("/")[2]
        if name is None:
            report.skipped.append(Skipped(last, f"is listed in {source}, but is not in the folder"))
        elif name in facts:
            report.skipped.append(Skipped(name, f"is listed in {source} twice: the first is taken"))
        else:
            facts[name] = sample.facts
    report.skipped.extend(Skipped(name, f"is not listed in {source}") for name in files.recordings if name not in facts)
    return _Said(source, facts)


def _table(files: _Files, report: _Report) -> _Said | None:
    """What the table in the folder says."""
    tables = [name for name in files.sidecars if name.endswith(".csv")]
    report.skipped.extend(Skipped(name, f"is a second table: {tables[0]} is taken") for name in tables[1:])
    if not tables:
        return None
    source = tables[0]
    try:
        rows = read_table(read_text(files.sidecars[source], MAX_TABLE_BYTES))
    except ValueError as error:
        report.skipped.append(Skipped.because_of(source, error))
        return None
    stems = {name.rpartition(".")[0]: name for name in files.recordings}
    facts: dict[str, Facts] = {}
    for file, row in rows.items():
        name = matching_name(file.replace("\\", "/"), files.recordings)
        if name is None and (stem := matching_name(file.replace("\\", "/"), stems)) is not None:
            name = stems[stem]
        if name is None:
            report.notes.append(f"{source}: the row {file!r} names no recording, or several")
        else:
            facts[name] = read_facts(row)
    return _Said(source, facts)


def _beside(name: str, files: _Files) -> Iterator[_Said]:
    """What `song.json`, `song.txt` and `song.lrc` say.

    Raises:
        FileProblem: lyrics that cannot be read.
    """
    stem = name.rpartition(".")[0]
    if sidecar := f"{stem}.json" if f"{stem}.json" in files.sidecars else "":
        try:
            fields = parse_json(read_text(files.sidecars[sidecar]))
            if not isinstance(fields, dict):
                raise FileProblem("must be an object with fields")
            yield _Said(sidecar, {name: read_facts(fields)})
        except ValueError as error:
            yield _Said(sidecar, {name: Facts({}, (str(error),))})
    for suffix in TEXT_SUFFIXES:
        source = stem + suffix
        if source in files.sidecars:
            try:
                text = read_text(files.sidecars[source])
            except ValueError as error:
                raise FileProblem(f"has lyrics that cannot be used: {source} {error}") from error
            yield _Said(source, {name: read_facts({"lyrics": lyrics_of_lrc(text) if suffix == ".lrc" else text})})


def _clip(name: str, path: Path, seconds: float, sources: list[_Said], notes: list[str]) -> Clip:
    """The clip with the first value that each field has.

    Raises:
        FileProblem: a source's lyrics cannot be used.
    """
    values: dict[str, Any] = {}
    for source, all_facts in sources:
        facts = all_facts.get(name, Facts({}))
        values = facts.values | values
        for problem in facts.problems:
            if problem.startswith("lyrics"):
                raise FileProblem(f"has lyrics that cannot be used: {source}: {problem}")
            notes.append(f"{source}, {name}: {problem}; left out")
    return with_facts(Clip(name, path, seconds), values)
