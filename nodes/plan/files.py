"""Edit, save and load blueprints as JSON: plans to keep, to change by hand, and to render again without the planner."""

from __future__ import annotations

import json
from pathlib import Path

from comfy_api.v0_0_2 import io

from ...ace_core.json_files import checked_json
from ...ace_core.song.blueprint import with_user_values
from ...ace_core.song.blueprint_json import MAX_BLUEPRINT_CHARACTERS, blueprints_to_json
from ...ace_core.song.chatter import json_in
from ...ace_core.song.official_params import PlanFile, in_our_names, is_official, plans_from_json
from ...ace_core.song.text_encodings import decoded_text
from .. import compat
from ..host import folders, results
from ..node import CATEGORY, filename_input, shown
from ..wires import AceBlueprint, AceBlueprintWire
from .plan_card import plan_cards


class AceComposerEditBlueprint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerEditBlueprint",
            display_name="ACE-Step Edit Blueprint",
            category=f"{CATEGORY}/plan",
            description="View a blueprint as JSON and edit it.",
            search_aliases=["plan", "json", "codes"],
            inputs=[
                AceBlueprintWire.Input("blueprint", tooltip="The blueprint to edit."),
                io.String.Input(
                    "changes",
                    multiline=True,
                    dynamic_prompts=False,
                    placeholder='{"bpm": 96, "key": "Am"}',
                    tooltip='JSON with the fields to change in every song, e.g. {"bpm": 96, "key": "Am"}; null sets '
                    "a field back to auto. The official names (keyscale, timesignature, vocal_language, duration) work "
                    "too. A whole blueprint replaces the connected one. Empty: no change.",
                ),
            ],
            outputs=[
                AceBlueprintWire.Output("ace_blueprint", display_name="blueprint", tooltip="The song plan."),
                io.String.Output("text", display_name="text", tooltip="The blueprint as JSON."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, blueprint: AceBlueprint, changes: str) -> io.NodeOutput:
        edited, notes = _changed(blueprint, changes) if changes.strip() else PlanFile(blueprint)
        text = blueprints_to_json(edited)
        return shown("\n".join((*notes, text)), edited, text, **plan_cards(edited, notes))


class AceComposerSaveBlueprint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerSaveBlueprint",
            display_name="ACE-Step Save Blueprint",
            category=f"{CATEGORY}/plan",
            description="Save a blueprint with its audio codes as a JSON file in the output folder.",
            search_aliases=["export", "plan", "json"],
            inputs=[
                AceBlueprintWire.Input("blueprint", tooltip="One song plan, or several in one file."),
                filename_input("blueprints/ace_composer"),
            ],
            outputs=[],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, blueprint: AceBlueprint, filename_prefix: str) -> io.NodeOutput:
        prefix, notes = results.name_of(filename_prefix, cls.hidden)
        (saved,) = results.save_texts(prefix, {".json": blueprints_to_json(blueprint)})
        place = "/".join(part for part in (saved["subfolder"], saved["filename"]) if part)
        return io.NodeOutput(ui={"files": [saved], "text": ("\n".join((place, *notes)),)})


class AceComposerLoadBlueprint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerLoadBlueprint",
            display_name="ACE-Step Load Blueprint",
            category=f"{CATEGORY}/plan",
            description="Load a saved blueprint and render it again without the planner.",
            search_aliases=["import", "plan", "json", "replay"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=folders.user_files((".json",)),
                    tooltip="A JSON file in the input folder, or one that Save Blueprint wrote into the output folder. "
                    "A song that the official application saved as JSON works too.",
                )
            ],
            outputs=[
                AceBlueprintWire.Output("ace_blueprint", display_name="blueprint", tooltip="The song plan."),
                io.String.Output("text", display_name="text", tooltip="The blueprint as JSON."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, file: str | None) -> bool | str:
        """A file may be newer than the list in the page."""
        try:
            if file is not None:
                folders.input_path(file)
        except FileNotFoundError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, file: str) -> tuple[str, int, int]:
        path = folders.input_path(file)
        return file, path.stat().st_size, path.stat().st_mtime_ns

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        path = folders.input_path(file)
        if path.stat().st_size > 4 * MAX_BLUEPRINT_CHARACTERS:  # characters take up to 4 bytes
            raise ValueError(f"{file} has {path.stat().st_size} bytes; that is no blueprint")
        content = _text_of(path)
        try:
            plans, notes = plans_from_json(content)
        except ValueError as error:
            raise ValueError(f"{file} cannot be read: {error}") from error
        text = blueprints_to_json(plans)
        return shown("\n".join((*notes, text)), plans, text, **plan_cards(plans, notes))


def _text_of(path: Path) -> str:
    try:
        return decoded_text(path.read_bytes()).text
    except ValueError as error:
        raise ValueError(f"{path.name} {error}") from error


def _changed(blueprint: AceBlueprint, changes: str) -> PlanFile:
    changes = json_in(changes)
    try:
        fields = checked_json(changes)
    except json.JSONDecodeError as error:
        raise ValueError(f'changes must be JSON such as {{"bpm": 96}}; {error}') from error
    if not isinstance(fields, dict):
        raise ValueError(f'changes must be a JSON object such as {{"bpm": 96}}, got {changes.strip()[:80]!r}')
    if "format" in fields or is_official(fields):
        return plans_from_json(changes)
    values, notes = in_our_names(fields)
    return PlanFile(tuple(with_user_values(song, **values) for song in blueprint), notes)
