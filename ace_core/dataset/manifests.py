"""Tables of a folder: CSV, TSV, JSON lines, and JSON that lists songs in another way than the official dataset.

Matches `metadata.jsonl` of Hugging Face and musubi-tuner, `metadata.csv`, a list of objects with a file each, and the
`{"song": {...}}` of kohya. The official trainer's preprocessed songs (`.pt`) hold what was said about each under
`metadata`; their list is named.

Traps:
- A JSON beside the songs may be anything. It is a table only if each of its entries names a file.
- A `.pt` is a pickle that could run code: only weights are loaded, and mapped, so that no tensor is read.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..checks import DAMAGE
from ..json_files import checked_json
from .dataset import FileProblem
from .facts import FILE_COLUMNS, read_table

TENSOR_SUFFIX = ".pt"
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl")
UNREADABLE_TABLES: Mapping[str, str] = {
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "is a spreadsheet: save it as CSV"),
    **dict.fromkeys((".parquet", ".arrow"), "is a table that is not read here: save it as CSV or JSON lines"),
}
OTHER_FILES: Mapping[str, str] = {
    **dict.fromkeys((".yaml", ".yml", ".toml"), "settings of a trainer are not read"),  # no trainer keeps a song in one
    **dict.fromkeys((".npz", ".npy", ".safetensors"), "latents and features of other trainers are not read"),
}


def rows_of(name: str, text: str) -> dict[str, Mapping[str, object]]:
    """The rows of a table by the file that each is about.

    Raises:
        FileProblem: it names no files, or cannot be read.
    """
    if not name.lower().endswith(".jsonl"):
        return {**read_table(text)}
    rows: dict[str, Mapping[str, object]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = checked_json(line)
        except json.JSONDecodeError as error:
            raise FileProblem(f"is not valid JSON in line {number}: {error}") from error
        file = file_of(row)
        if file is None:
            raise FileProblem(f"must name a file in each line ({', '.join(FILE_COLUMNS)}); line {number} does not")
        rows.setdefault(file, row)
    return rows


def rows_in_json(document: Any) -> dict[str, Mapping[str, object]] | None:
    """The rows of a JSON that lists songs by files, None where it does not."""
    if isinstance(document, list) and document:
        files = [file_of(row) for row in document]
        return None if None in files else {file: row for file, row in zip(files, document, strict=True) if file}
    if isinstance(document, dict) and document and all(isinstance(row, dict) for row in document.values()):
        return document
    return None


def is_tensor_list(document: Any) -> bool:
    """Whether a JSON is the list that the official trainer writes for its preprocessed songs."""
    samples = document.get("samples") if isinstance(document, dict) else None
    return isinstance(samples, list) and any(isinstance(name, str) and name.endswith(".pt") for name in samples)


def file_of(row: Any) -> str | None:
    """The file that a row is about."""
    if not isinstance(row, dict):
        return None
    names = {str(name).strip().lower(): value for name, value in row.items()}
    return next((value for column in FILE_COLUMNS if isinstance(value := names.get(column), str) and value), None)


def row_of_tensors(path: Path) -> tuple[str, Mapping[str, object]]:
    """What a preprocessed song of the official trainer says about its recording, by the file that it was.

    Raises:
        FileProblem: it is not one, or cannot be read.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (*DAMAGE, pickle.UnpicklingError) as error:
        raise FileProblem("holds tensors that cannot be read") from error
    row = content.get("metadata") if isinstance(content, dict) else None
    file = file_of(row)
    if file is None or not isinstance(row, dict):
        raise FileProblem("holds tensors and does not say of which recording")
    return file, row
