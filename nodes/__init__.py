"""The nodes of ACE Composer, listed one by one."""

from __future__ import annotations

from comfy_api.v0_0_2 import ComfyExtension, io

from . import song_page
from .edit.cover import AceComposerCover
from .edit.reference_audio import AceComposerReferenceAudio
from .edit.repaint import AceComposerExtend, AceComposerRepaint
from .edit.stems import AceComposerMix, AceComposerPickStem
from .edit.tracks import AceComposerComplete, AceComposerExtract, AceComposerLego, AceComposerVocalToBacking
from .files.load_song import AceComposerLoadSong
from .files.preview_song import AceComposerPreviewSong
from .files.save_song import AceComposerSaveSong
from .graph_inputs import check_inputs_of
from .host import folders
from .load.lora import AceComposerLoadLora, AceComposerSaveLora
from .load.models import AceComposerLoadModels
from .load.planner import AceComposerLoadPlanner
from .load.planner_lora import AceComposerLoadPlannerLora
from .plan.blueprint import AceComposerBlueprint
from .plan.files import AceComposerEditBlueprint, AceComposerLoadBlueprint, AceComposerSaveBlueprint
from .plan.plan import AceComposerPlan
from .plan.understand import AceComposerAudioToCodes, AceComposerUnderstand
from .plan.write import AceComposerRewrite, AceComposerWriteSong
from .render.decode import AceComposerDecode
from .render.encode import AceComposerEncode
from .render.retake import AceComposerRetake
from .render.sample import AceComposerSample
from .review.audio_facts import AceComposerAudioFacts
from .review.lyric_timing import AceComposerLyricTiming
from .review.pick_take import AceComposerPickTake
from .review.score import AceComposerBestOfN, AceComposerScore
from .train.dataset import AceComposerDataset, AceComposerLabelDataset, AceComposerPreprocess
from .train.train_lora import AceComposerTrainLora

NODES: tuple[type[io.ComfyNode], ...] = (
    AceComposerLoadModels,
    AceComposerBlueprint,
    AceComposerEncode,
    AceComposerSample,
    AceComposerDecode,
    AceComposerLoadPlanner,
    AceComposerPlan,
    AceComposerWriteSong,
    AceComposerRewrite,
    AceComposerUnderstand,
    AceComposerEditBlueprint,
    AceComposerSaveBlueprint,
    AceComposerLoadBlueprint,
    AceComposerAudioToCodes,
    AceComposerReferenceAudio,
    AceComposerCover,
    AceComposerRepaint,
    AceComposerExtend,
    AceComposerRetake,
    AceComposerExtract,
    AceComposerLego,
    AceComposerComplete,
    AceComposerVocalToBacking,
    AceComposerPickStem,
    AceComposerMix,
    AceComposerLoadLora,
    AceComposerSaveLora,
    AceComposerLyricTiming,
    AceComposerScore,
    AceComposerBestOfN,
    AceComposerAudioFacts,
    AceComposerDataset,
    AceComposerLabelDataset,
    AceComposerPreprocess,
    AceComposerSaveSong,
    AceComposerLoadSong,
    AceComposerTrainLora,
    AceComposerPreviewSong,
    AceComposerPickTake,
    AceComposerLoadPlannerLora,
)

for _node in NODES:
    check_inputs_of(_node)


class AceComposerExtension(ComfyExtension):
    """What ComfyUI loads; makes known the folders `ace_step` and `ace_step_datasets`, and what the page may ask."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        folders.register_model_folder()
        folders.register_dataset_folder()
        song_page.add_routes()
        return [*NODES]
