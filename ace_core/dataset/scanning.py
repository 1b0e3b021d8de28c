"""From a folder to clips: every recording below it with what the files beside it say.

What is said about a song, the first to say it wins:

1. the dataset JSON: the one that was chosen, else the first in the folder. It lists the songs of the dataset.
2. the files beside the song: fields, lyrics, caption, in the layouts of `companions`
3. the first table in the folder: CSV, TSV, JSON lines, or a JSON that lists files
4. the official trainer's preprocessed songs, `.pt`

A file that cannot be used is skipped with a reason; nothing here fails because of one. A file that is named like a song
and not used is named, and so is what another file overrules.

Traps:
- What a link leads to counts, not where it lies: nothing outside the root is opened, whatever it is.
- Lyrics that cannot be read skip their song, since it would be trained as an instrumental. Other values are left out.
- Readers of others' files raise anything, PyAV an AttributeError for a codec that FFmpeg does not know. The host's
  cancelling is an exception of its own and passes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..audio.demuxers import DEMUXERS, NO_RECORDINGS
from ..progress import Progress, share_of_progress
from ..song.texts import plain_lines
from .companions import (
    COMPANION_SUFFIXES,
    Companion,
    Owners,
    fields_in_text,
    in_reading_order,
    is_caption_text,
    without_suffix,
)
from .dataset import Clip, FileProblem, Skipped, with_facts
from .facts import FIELD_NAMES, MAX_TABLE_BYTES, Facts, read_facts, read_noted_text, read_text
from .manifests import (
    OTHER_FILES,
    TABLE_SUFFIXES,
    TENSOR_SUFFIX,
    UNREADABLE_TABLES,
    is_tensor_list,
    row_of_tensors,
    rows_in_json,
    rows_of,
)
from .official_json import (
    MAX_DATASET_BYTES,
    Sample,
    is_dataset_json,
    matching_name,
    parse_json,
    read_samples,
    stated_settings,
)
from .recordings import clip_seconds
from .scan_remarks import Remarks

READ_SUFFIXES = frozenset((*COMPANION_SUFFIXES, *TABLE_SUFFIXES, TENSOR_SUFFIX))
ERRORS_OF_READERS = (ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError)


class Scan(NamedTuple):
    """What a folder holds: clips in the order of their names, or of the dataset JSON; what was skipped; remarks.

    `stated` are the settings that the files name, which are the user's to choose; see `settings_not_taken`.
    """

    clips: tuple[Clip, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]
    stated: Mapping[str, object] = {}


class _Report(NamedTuple):
    skipped: list[Skipped]
    notes: Remarks
    stated: dict[str, object]
    activation_tags: list[str]


class _Files(NamedTuple):
    """Files below the folder that may be read, by their names: recordings, and what may say something about them."""

    recordings: dict[str, Path]
    others: dict[str, Path]


class _Said(NamedTuple):
    """What one file says about songs: facts by the name of the recording; a sentence about the file as a whole."""

    source: str
    facts: Mapping[str, Facts]
    notes: tuple[str, ...] = ()


def scan_folder(
    folder: Path,
    root: Path,
    *,
    dataset_json: Path | None = None,
    downmix: bool = False,
    on_progress: Progress | None = None,
) -> Scan:
    """Find the recordings below a folder, look into each, and read the texts beside it.

    Args:
        folder: where to look, `root` or below it.
        root: nothing outside it is read. dataset_json is the one exception.
        dataset_json: the official dataset JSON to take instead of the folder's own.
        downmix: take surround recordings too, as stereo.
        on_progress: called with parts done, and in all.
    """
    root = Path(os.path.realpath(root))
    report = _Report([], Remarks(), {}, [])
    files = _listed(folder, root, report)
    beside = _companions(files, report)
    listing, table = _manifests(files, beside, dataset_json, report)
    tensors = _tensors(files, report)
    names = list(files.recordings) if listing is None else list(listing.facts)

    clips = []
    for number, name in enumerate(names):
        share = share_of_progress(on_progress, number, len(names))
        if share is not None:
            share(0, 1)
        try:
            seconds = clip_seconds(files.recordings[name], share, downmix=downmix)
            said = [listing, *_beside(name, beside.get(name, []), files), table, tensors]
            clips.append(_clip(name, files.recordings[name], seconds, [one for one in said if one], report))
        except ValueError as error:
            report.skipped.append(Skipped.because_of(name, error))
        except ERRORS_OF_READERS as error:
            report.skipped.append(Skipped(name, f"cannot be read: {type(error).__name__}: {error}"))
    stated = report.stated
    if report.activation_tags:
        stated["activation_tag"] = list(dict.fromkeys(report.activation_tags))
    return Scan(tuple(clips), tuple(report.skipped), report.notes.lines(), stated)


def folder_stamp(folder: Path) -> str:
    """Changes with any file below a folder that a scan would look at, as far as names, sizes and times tell."""
    digest = hashlib.sha256()
    for path in _walk(folder):
        if path.suffix.lower() in DEMUXERS or path.suffix.lower() in READ_SUFFIXES:
            status = path.lstat()
            digest.update(os.fsencode(path) + f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
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
        if not name.isprintable() and any("\ud800" <= character <= "\udfff" for character in name):
            shown_name = name.encode(errors="backslashreplace").decode()
            report.skipped.append(Skipped(shown_name, "has a name that is no Unicode: rename it"))
        elif target.is_dir():
            report.skipped.append(Skipped(name, "is a link to a folder: links to folders are not followed"))
        elif not target.is_relative_to(root):
            if suffix in DEMUXERS or suffix in READ_SUFFIXES:
                report.skipped.append(Skipped(name, "is a link that leads out of the dataset's root"))
        elif suffix in NO_RECORDINGS:
            report.skipped.append(Skipped(name, NO_RECORDINGS[suffix]))
        elif suffix not in DEMUXERS:
            files.others[name] = path
        elif (first := stems.setdefault(without_suffix(name), name)) != name:
            report.skipped.append(Skipped(name, f"has the same name as {first}, which is taken"))
        else:
            files.recordings[name] = path
    return files


def _companions(files: _Files, report: _Report) -> dict[str, list[Companion]]:
    """The files beside each recording; names those that are like a song's and not read, and texts of no song."""
    owners = Owners(files.recordings)
    beside: dict[str, list[Companion]] = {}
    for name in files.others:
        suffix = Path(name).suffix.lower()
        found = owners.companion(name)
        if found is not None:
            beside.setdefault(found[0], []).append(found[1])
        elif suffix in UNREADABLE_TABLES:
            report.skipped.append(Skipped(name, UNREADABLE_TABLES[suffix]))
        elif suffix in COMPANION_SUFFIXES and suffix != ".json":
            report.skipped.append(Skipped(name, "belongs to no recording"))
        elif suffix not in READ_SUFFIXES and owners.named_like(name):
            reason = OTHER_FILES.get(suffix, f"{suffix or 'no suffix'} is not read")
            report.notes.add(f"is not used, though named like a song: {reason}", name)
    return {name: in_reading_order(companions) for name, companions in beside.items()}


def _manifests(
    files: _Files, beside: Mapping[str, list[Companion]], chosen: Path | None, report: _Report
) -> tuple[_Said | None, _Said | None]:
    """What the dataset JSON says about its songs in its order, and what the first table says.

    Recordings that the dataset JSON does not list are skipped.
    """
    found: tuple[str, list[Sample]] | None = None
    table: tuple[str, Mapping[str, Mapping[str, object]]] | None = None
    if chosen is not None:
        try:
            document = parse_json(read_text(chosen, MAX_DATASET_BYTES))
            found = chosen.name, read_samples(document)
            report.stated.update(stated_settings(document))
        except ValueError as error:
            raise ValueError(f"{chosen.name} {error}") from error
    used = {companion.name for companions in beside.values() for companion in companions}
    for name, path in files.others.items():
        suffix = Path(name).suffix.lower()
        if name in used or suffix not in (".json", *TABLE_SUFFIXES):
            continue
        try:
            if suffix == ".json":
                document = parse_json(read_text(path, MAX_DATASET_BYTES))
                if is_tensor_list(document):
                    raise FileProblem("lists tensors, of which only what they say about recordings here is read")
                if is_dataset_json(document):
                    if found is not None:
                        raise FileProblem(f"is not used: {found[0]} lists the songs")
                    found = name, read_samples(document)
                    report.stated.update(stated_settings(document))
                    continue
                rows = rows_in_json(document)
                if rows is None:
                    raise FileProblem("belongs to no recording and is not a dataset")
            else:
                rows = rows_of(name, read_text(path, MAX_TABLE_BYTES))
            if table is not None:
                raise FileProblem(f"is a second table: {table[0]} is taken")
            table = name, rows
        except ValueError as error:
            report.skipped.append(Skipped.because_of(name, error))
    listing = None if found is None else _matched(*found, files, report)
    return listing, None if table is None else _table(*table, files, report)


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


def _table(source: str, rows: Mapping[str, Mapping[str, object]], files: _Files, report: _Report) -> _Said:
    """What a table says about the recordings that it names, with their suffix or without."""
    facts: dict[str, Facts] = {}
    stems = {without_suffix(name): name for name in files.recordings}
    for file, row in rows.items():
        place = file.replace("\\", "/")
        stem = matching_name(place, stems)
        name = matching_name(place, files.recordings) or (stems[stem] if stem is not None else None)
        if name is None:
            report.notes.add(f"{source}: a row names no recording, or several", repr(file))
        else:
            facts[name] = read_facts(row)
    return _Said(source, facts)


def _tensors(files: _Files, report: _Report) -> _Said | None:
    """What the official trainer's preprocessed songs say about recordings in the folder; the others are named."""
    facts: dict[str, Facts] = {}
    for name, path in files.others.items():
        if not name.lower().endswith(TENSOR_SUFFIX):
            continue
        try:
            file, row = row_of_tensors(path)
        except FileProblem as error:
            report.notes.add(str(error), name)
            continue
        recording = matching_name(file.replace("\\", "/"), files.recordings)
        if recording is None:
            report.notes.add("holds tensors of a recording that is not in the folder: bring the recording", name)
        else:
            facts[recording] = read_facts(row)
    return _Said("the tensors", facts) if facts else None


def _beside(name: str, companions: list[Companion], files: _Files) -> Iterator[_Said]:
    """What the files beside a recording say, in the order in which they count.

    Raises:
        FileProblem: lyrics that cannot be read.
    """
    has_lyrics = any(companion.role == "lyrics" for companion in companions)
    for source, role, _ in companions:
        raw: Mapping[str, object] = {}
        try:
            text, notes = read_noted_text(files.others[source])
            if role == "fields":
                document = parse_json(text)
                if not isinstance(document, dict):
                    raise FileProblem("must be an object with fields")
                raw = document
            elif role == "text":
                raw, more = _of_plain_text(text, has_lyrics=has_lyrics)
                notes += more
            else:
                raw = {role: text}
        except ValueError as error:
            if role in ("lyrics", "text"):
                raise FileProblem(f"has lyrics that cannot be used: {source} {error}") from error
            yield _Said(source, {name: Facts({}, (str(error),))})
        else:
            timed = role == "lyrics" and not source.lower().endswith((".txt", ".lyrics", ".lyric"))
            yield _Said(source, {name: read_facts(raw, timed=timed)}, notes)


def _of_plain_text(text: str, *, has_lyrics: bool) -> tuple[dict[str, object], tuple[str, ...]]:
    """The fields of a `song.txt`: those it names, a caption, or lyrics; and a sentence where that was decided."""
    if text.lstrip().startswith("{"):
        raw = parse_json(text)
        if isinstance(raw, dict):
            return raw, ()
    text = plain_lines(text)
    fields = fields_in_text(text, FIELD_NAMES)
    if fields is not None:
        return fields, ()
    if not is_caption_text(text):
        return {"lyrics": text}, ()
    return {"caption": text}, () if has_lyrics else ("is read as the caption, since it does not look like lyrics",)


def _clip(name: str, path: Path, seconds: float, sources: list[_Said], report: _Report) -> Clip:
    """The clip with the first value that each field has.

    Raises:
        FileProblem: a source's lyrics cannot be used.
    """
    values: dict[str, Any] = {}
    said_by: dict[str, str] = {}
    for source, all_facts, remarks in sources:
        facts = all_facts.get(name, Facts({}))
        if facts.broken_lyrics:
            raise FileProblem(f"has lyrics that cannot be used: {source}: {facts.broken_lyrics}")
        beside = source.startswith(without_suffix(name))
        for sentence in (*(f"{problem}; left out" for problem in facts.problems), *facts.remarks):
            report.notes.add(sentence if beside else f"{source}: {sentence}", source if beside else name)
        for field, value in facts.values.items():
            if field in ("lyrics", "caption") and values.get(field, value) != value:
                report.notes.add(f"{field} is not used, {said_by[field]} has it", source)
            said_by.setdefault(field, source)
        for remark in remarks:
            report.notes.add(remark, source)
        if facts.activation_tag:
            report.activation_tags.append(facts.activation_tag)
        values = facts.values | values
    return with_facts(Clip(name, path, seconds), values)
