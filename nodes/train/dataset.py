"""Dataset, Label Dataset and Preprocess: from a folder of songs to what the trainer reads.

Where things are: songs in a folder below `input`, `models/ace_step_datasets`, or a root that extra_model_paths.yaml
names under `ace_step_datasets`. Labels go to `output/ace_step_datasets/<name>.json`, never beside the songs, which may
lie on a read-only disk; Dataset reads that file again. Samples go to `output/ace_step_training/<name>`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from comfy_api.v0_0_2 import io

from ...ace_core.checkpoints.registry import stamp
from ...ace_core.checks import check_choice
from ...ace_core.dataset.dataset import TAG_POSITIONS, Dataset, Skipped, TagPosition, remarks, settings_not_taken
from ...ace_core.dataset.label_file import open_label_file
from ...ace_core.dataset.labelling import label_dataset
from ...ace_core.dataset.preprocessing import preprocess
from ...ace_core.dataset.recordings import MAX_CLIP_SECONDS
from ...ace_core.dataset.scanning import folder_stamp, scan_folder
from ...ace_core.loaded import AceModel, AcePlanner, AceTextEncoder, AceVae
from ...ace_core.lora.saving import base_model_name
from ...ace_core.planner.understanding import UNDERSTAND_PARAMETERS
from ...ace_core.stages.codes import require_audio_tokenizer
from ...ace_core.stages.prepare import describer, sample_encoders
from .. import compat
from ..host import feedback, folders
from ..host.networks import NETWORKS
from ..node import CATEGORY, fingerprint, shown
from ..plan.inputs import sampling_inputs, seed_input
from ..wires import (
    AceDataset,
    AceDatasetWire,
    AceModelWire,
    AcePlannerWire,
    AceTextEncoderWire,
    AceTrainingData,
    AceTrainingDataWire,
    AceVaeWire,
)

NONE = "none"
SHOWN_LINES = 30


class AceComposerDataset(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerDataset",
            display_name="ACE-Step Dataset",
            category=f"{CATEGORY}/train",
            description="Find the songs in a folder, with lyrics, captions and metadata from the files beside "
            "them, to train a LoRA on.",
            search_aliases=["training data", "train lora", "scan folder", "lyrics", "captions"],
            inputs=[
                io.Combo.Input(
                    "folder",
                    options=folders.dataset_folders(),
                    tooltip="A folder with songs (any recording or video) in the input folder or a dataset root; "
                    "subfolders are included.",
                ),
                io.String.Input(
                    "name",
                    default="",
                    tooltip="Name of the dataset, and of the folders and files made from it. Empty: the folder's name.",
                ),
                io.String.Input(
                    "activation_tag",
                    default="",
                    tooltip="Trigger word(s) added to every caption; choose a word that means nothing else. Empty: "
                    "none.",
                ),
                io.Combo.Input(
                    "tag_position",
                    options=list(TAG_POSITIONS),
                    default="prepend",
                    tooltip="prepend: before the caption. append: after it. replace: instead of it.",
                ),
                io.Int.Input(
                    "genre_ratio",
                    default=0,
                    min=0,
                    max=100,
                    tooltip="Percentage of songs trained on their genre instead of their caption; always the same "
                    "songs.",
                ),
                io.Boolean.Input(
                    "all_instrumental", default=False, tooltip="Train every song as an instrumental, without lyrics."
                ),
                io.Combo.Input(
                    "labels",
                    options=[NONE, *folders.label_files()],
                    default=NONE,
                    optional=True,
                    tooltip="A file from Label Dataset, edited or not. It lists the songs, and its values override "
                    "those in the folder.",
                ),
                io.Boolean.Input(
                    "downmix",
                    default=False,
                    optional=True,
                    tooltip="Read surround recordings as stereo. Off: they are skipped.",
                ),
            ],
            outputs=[
                AceDatasetWire.Output(
                    "ace_dataset", display_name="dataset", tooltip="The songs with captions, lyrics and metadata."
                ),
                io.String.Output(
                    "report", display_name="report", tooltip="Everything that was found, skipped or left out."
                ),
            ],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, folder: str | None, labels: str | None = NONE) -> bool | str:
        """Folders and files may be newer than the lists in the page."""
        try:
            if folder is not None:
                folders.dataset_folder(folder)
            if labels not in (None, NONE):
                folders.input_path(labels)
        except FileNotFoundError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, folder: str, labels: str = NONE, **_: object) -> str:
        files = [] if labels == NONE else stamp([folders.input_path(labels)])
        return fingerprint([folder_stamp(folders.dataset_folder(folder)[1]), *files])

    @classmethod
    def execute(
        cls,
        folder: str,
        name: str,
        activation_tag: str,
        tag_position: TagPosition,
        genre_ratio: int,
        all_instrumental: bool,
        labels: str = NONE,
        downmix: bool = False,
    ) -> io.NodeOutput:
        check_choice("tag_position", tag_position, TAG_POSITIONS)
        root, path = folders.dataset_folder(folder)
        chosen = None if labels == NONE else folders.input_path(labels)
        scan = scan_folder(path, root, dataset_json=chosen, downmix=downmix, on_progress=feedback.progress())
        if not scan.clips:
            raise ValueError(
                f"there is no song to learn from in {folder}: "
                f"{'; '.join(map(str, scan.skipped[:5])) or 'it holds no recording and no video'}"
            )
        name = name.strip() or path.name
        dataset = Dataset(name, scan.clips, activation_tag, tag_position, genre_ratio, all_instrumental, downmix)
        facts = [_known(dataset), *settings_not_taken(dataset, scan.stated), *remarks(dataset)]
        problems = [*_skipped_lines(scan.skipped), *scan.notes]
        songs = [f"{clip.name}: {clip.seconds:.0f} s, {clip.song!r}" for clip in dataset.clips]
        report = "\n".join([*facts, *problems, *songs])
        return shown(_first_lines([*facts, *problems]), dataset, report)


class AceComposerLabelDataset(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerLabelDataset",
            display_name="ACE-Step Label Dataset",
            category=f"{CATEGORY}/train",
            description="Let the planner listen to the songs of a dataset and fill in missing captions, genres "
            "and metadata, in a file that you can edit.",
            search_aliases=["auto label", "caption", "training data", "tagger"],
            inputs=[
                AceDatasetWire.Input("dataset", tooltip="From Dataset."),
                AcePlannerWire.Input("planner", tooltip="From Load Planner."),
                AceModelWire.Input("model", tooltip="From Load Models; its audio tokenizer reads the songs."),
                AceVaeWire.Input("vae", tooltip="From Load Models."),
                seed_input(
                    "Seed of the planner, the same for every song, so the labels of a song do not depend on the others."
                ),
                io.Boolean.Input(
                    "overwrite",
                    default=False,
                    tooltip="Label every song again and replace existing captions, genres and metadata.",
                ),
                io.Boolean.Input(
                    "write_lyrics",
                    default=False,
                    tooltip="Transcribe the lyrics of songs that have none. Takes much longer; check the result.",
                ),
                *sampling_inputs(UNDERSTAND_PARAMETERS),
            ],
            outputs=[
                AceDatasetWire.Output(
                    "ace_dataset", display_name="dataset", tooltip="The songs with captions, lyrics and metadata."
                ),
                io.String.Output("file", display_name="file", tooltip="Path of the label file."),
            ],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        dataset: AceDataset,
        planner: AcePlanner,
        model: AceModel,
        vae: AceVae,
        seed: int,
        overwrite: bool,
        write_lyrics: bool,
        **sampling: Any,
    ) -> io.NodeOutput:
        require_audio_tokenizer(model)
        path = folders.output_folder(folders.DATASETS_FOLDER) / f"{dataset.name}.json"
        file, dataset, notes = open_label_file(path, dataset)
        describe = describer(
            NETWORKS, planner, model, vae, seed, replace(UNDERSTAND_PARAMETERS, **sampling), write_lyrics
        )
        result = label_dataset(
            dataset,
            describe,
            file.save,
            overwrite=overwrite,
            write_lyrics=write_lyrics,
            on_progress=feedback.progress(),
        )
        file.save(result.dataset)
        place = f"output/{folders.DATASETS_FOLDER}/{path.name}"
        listened = f"listened to {result.described} of {len(dataset.clips)} songs"
        lines = [place, listened, _known(result.dataset), *_skipped_lines(result.skipped), *notes]
        return shown(_first_lines(lines), result.dataset, place)


class AceComposerPreprocess(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerPreprocess",
            display_name="ACE-Step Preprocess",
            category=f"{CATEGORY}/train",
            description="Turn a dataset into training data: latents and conditions of each song, computed once and "
            "kept on disk.",
            search_aliases=["encode dataset", "cache latents", "training data", "tensors"],
            inputs=[
                AceDatasetWire.Input("dataset", tooltip="From Dataset or Label Dataset."),
                AceModelWire.Input(
                    "model",
                    tooltip="From Load Models, the model to train; its condition encoder is used. Adapters on it "
                    "change nothing.",
                ),
                AceTextEncoderWire.Input("text_encoder", tooltip="From Load Models."),
                AceVaeWire.Input("vae", tooltip="From Load Models."),
            ],
            outputs=[
                AceTrainingDataWire.Output("ace_training_data", display_name="training_data", tooltip="For Train LoRA.")
            ],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, dataset: AceDataset, model: AceModel, text_encoder: AceTextEncoder, vae: AceVae) -> io.NodeOutput:
        folder = folders.output_folder(folders.TRAINING_FOLDER, dataset.name)
        encoders = sample_encoders(NETWORKS, model, text_encoder, vae)
        base_model = base_model_name(model.size, model.variant)
        done = preprocess(dataset, folder, encoders, base_model=base_model, on_progress=feedback.progress())
        data = AceTrainingData(folder, done.manifest)
        lines = [
            repr(data),
            f"output/{folders.TRAINING_FOLDER}/{dataset.name}, for {base_model}",
            f"encoded {done.recordings_encoded} recordings and {done.texts_encoded} texts, the others were there",
            *_skipped_lines(done.skipped),
            *(f"{name}: only its first {MAX_CLIP_SECONDS:g} s" for name in done.cropped),
            *remarks(dataset),
        ]
        return shown(_first_lines(lines), data)


def _known(dataset: Dataset) -> str:
    """How many songs there are, and of how many each fact is known."""
    clips = dataset.clips
    counts = {
        name: sum(getattr(clip.song, name) is not None for clip in clips)
        for name in ("caption", "lyrics", "bpm", "key", "time_signature", "language")
    } | {"genre": sum(clip.genre is not None for clip in clips)}
    known = ", ".join(f"{name.replace('_', ' ')} of {count}" for name, count in counts.items())
    return f"{dataset!r}; {known}"


def _skipped_lines(skipped: Sequence[Skipped]) -> list[str]:
    return [f"{len(skipped)} skipped:", *map(str, skipped)] if skipped else []


def _first_lines(lines: Sequence[str]) -> str:
    """As much as a node shows."""
    more = len(lines) - SHOWN_LINES
    return "\n".join([*lines[:SHOWN_LINES], *([f"... and {more} more lines"] if more > 0 else [])])
