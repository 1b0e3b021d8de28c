"""The file in which the labels of a dataset lie: the official dataset JSON, begun once and saved after each song."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ..files import write_text_atomically
from .dataset import Dataset
from .facts import read_text
from .labelling import with_labels
from .official_json import MAX_DATASET_BYTES, dataset_json, parse_json, read_samples


class LabelFile(NamedTuple):
    """Where labels are saved, and when the file was begun."""

    path: Path
    created_at: str

    def save(self, dataset: Dataset) -> None:
        """Write the labels of a dataset, all of them or nothing."""
        text = dataset_json(dataset, self.created_at)
        write_text_atomically(self.path, text)


def open_label_file(path: Path, dataset: Dataset) -> tuple[LabelFile, Dataset, list[str]]:
    """The file, the dataset with the labels that are in it, and remarks.

    Raises:
        ValueError: there is such a file, and it cannot be read.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    if not path.exists():
        return LabelFile(path, now), dataset, []
    try:
        document: Any = parse_json(read_text(path, MAX_DATASET_BYTES))
        dataset, notes = with_labels(dataset, read_samples(document))
    except ValueError as error:
        raise ValueError(f"{path} {error}; mend it, delete it, or give the dataset another name") from error
    metadata = document.get("metadata")
    created_at = metadata.get("created_at") if isinstance(metadata, dict) else None
    return LabelFile(path, created_at if isinstance(created_at, str) else now), dataset, notes
