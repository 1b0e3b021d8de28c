"""The nodes of ACE Composer, listed one by one."""

from __future__ import annotations

from comfy_api.v0_0_2 import ComfyExtension, io

from . import host
from .audio_facts import AceComposerAudioFacts
from .blueprint import AceComposerBlueprint
from .blueprint_files import AceComposerEditBlueprint, AceComposerLoadBlueprint, AceComposerSaveBlueprint
from .cover import AceComposerCover
from .dataset import AceComposerDataset, AceComposerLabelDataset, AceComposerPreprocess
from .decode import AceComposerDecode
from .encode import AceComposerEncode
from .listen import AceComposerAudioToCodes, AceComposerUnderstand
from .load import AceComposerLoadModels
from .load_planner import AceComposerLoadPlanner
from .load_song import AceComposerLoadSong
from .lora import AceComposerLoadLora, AceComposerSaveLora
from .lyric_timing import AceComposerLyricTiming
from .plan import AceComposerPlan
from .reference_audio import AceComposerReferenceAudio
from .repaint import AceComposerExtend, AceComposerRepaint
from .retake import AceComposerRetake
from .sample import AceComposerSample
from .save_song import AceComposerSaveSong
from .score import AceComposerBestOfN, AceComposerScore
from .stems import AceComposerMix, AceComposerPickStem
from .tracks import AceComposerComplete, AceComposerExtract, AceComposerLego, AceComposerVocalToBacking
from .train import AceComposerTrainLora
from .write import AceComposerRewrite, AceComposerWriteSong


class AceComposerExtension(ComfyExtension):
    """What ComfyUI loads; also makes the folders `ace_step` and `ace_step_datasets` known."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        host.register_model_folder()
        host.register_dataset_folder()
        return [
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
        ]
