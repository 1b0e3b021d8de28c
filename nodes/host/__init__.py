"""The only module that touches ComfyUI's internals: folders, memory, devices, progress, messages.

Traps:
- The patcher class is looked up at call time: ComfyUI rebinds it when dynamic VRAM starts.
- One network has one patcher, whoever asks: the registry keeps patchers, not modules. Two patchers over one module
  would each take the other's LoRA weights for the base.
- On a CPU everything runs in float32 (bfloat16 is many times slower there), and weights are kept in what they run in.
- The host's own LoRA loading reads no `adapter_config.json` and no LoKr metadata, divides by the norms of the base
  where DoRA wants those of the changed weight, and reports a wrong shape in the log only. So adapters here are a class
  of their own, computed by the engine; backup, streaming and restoring of weights is the host's patching.
- Attention back ends of the host cannot share key heads (`enable_gqa` is silently wrong on some), so heads are repeated
  here. On a CPU the host's default is the slow sub-quadratic one; PyTorch's own attention is used instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import comfy.cli_args
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.utils
import comfy.weight_adapter
import folder_paths
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy_execution.graph_utils import ExecutionBlocker
from server import PromptServer
from torch import Tensor

from ...ace_core.checkpoints.file_hashes import FileHashes
from ...ace_core.checkpoints.inspection import WeightSource
from ...ace_core.checkpoints.loading import FLOAT8, build_network, load_state_dict, weight_key
from ...ace_core.checkpoints.registry import WeightRegistry
from ...ace_core.files import write_whole
from ...ace_core.lora.adapters import Adapter, AdapterWeights, Strengths, weight_change
from ...ace_core.lora.formats import AdapterFiles, adapter_key, load_adapter
from ...ace_core.models.layers import AttentionFunction, scaled_dot_product_attention
from ...ace_core.models.ops import Ops
from ...ace_core.planner.quantized import build_int8
from ...ace_core.progress import Progress

ACE_STEP_FOLDER = "ace_step"
DATASETS_FOLDER = "ace_step_datasets"  # key of further dataset roots, and the folder of their labels in the output
TRAINING_FOLDER = "ace_step_training"
INPUT_ROOT = "input"
LISTED_LEVELS = 2
OUT_OF_MEMORY = comfy.model_management.OOM_EXCEPTION
CASTING_OPS: Ops = comfy.ops.manual_cast
KEPT_ADAPTERS = 8

registry = WeightRegistry()
file_hashes = FileHashes()
_kept_adapters: WeakKeyDictionary[Any, dict[Path, AdapterWeights]] = WeakKeyDictionary()  # by network, last used last


def register_model_folder() -> None:
    """Make `models/ace_step` known, for folders in the official and the diffusers layout."""
    folder_paths.add_model_folder_path(ACE_STEP_FOLDER, str(Path(folder_paths.models_dir) / ACE_STEP_FOLDER))
    paths, extensions = folder_paths.folder_names_and_paths[ACE_STEP_FOLDER]
    folder_paths.folder_names_and_paths[ACE_STEP_FOLDER] = (paths, set(extensions) | {".safetensors", ".json"})


def register_dataset_folder() -> None:
    """Make `models/ace_step_datasets` known as a root of datasets, beside those of extra_model_paths.yaml."""
    folder_paths.add_model_folder_path(DATASETS_FOLDER, str(Path(folder_paths.models_dir) / DATASETS_FOLDER))


def dataset_roots() -> dict[str, Path]:
    """Folders that datasets may lie in, by the names that choices begin with: `input`, then those configured."""
    roots = {INPUT_ROOT: Path(os.path.realpath(folder_paths.get_input_directory()))}
    for configured in folder_paths.get_folder_paths(DATASETS_FOLDER):
        root = Path(os.path.realpath(configured))
        if root.is_dir() and root not in roots.values():
            names = (root.name, *(f"{root.name} ({number})" for number in range(2, 100)))
            roots[next(name for name in names if name not in roots)] = root
    return roots


def dataset_folders() -> list[str]:
    """Folders of the dataset roots, two levels deep, and the configured roots themselves."""
    choices: list[str] = []
    for name, root in dataset_roots().items():
        if name != INPUT_ROOT:
            choices.append(name)
        choices += (f"{name}/{below}" for below in _folders_below(root, LISTED_LEVELS))
    return choices


def _folders_below(folder: Path, levels: int) -> list[str]:
    """Names of folders, without hidden ones and links."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            )
    except OSError:  # not readable: nothing to choose there
        return []
    found = []
    for name in names:
        found.append(name)
        if levels > 1:
            found += (f"{name}/{below}" for below in _folders_below(folder / name, levels - 1))
    return found


def dataset_folder(choice: str) -> tuple[Path, Path]:
    """The dataset root and the folder that a choice such as `input/my songs` leads to; links are resolved.

    Raises:
        FileNotFoundError: there is none of this name; a name cannot lead out of the roots.
    """
    roots = dataset_roots()
    root_name, _, below = choice.replace("\\", "/").partition("/")
    if root_name in roots and ".." not in below.split("/") and "\0" not in below:
        root = roots[root_name]
        folder = Path(os.path.realpath(root / below.lstrip("/")))
        if folder.is_dir() and folder.is_relative_to(root):
            return root, folder
    raise FileNotFoundError(
        f"there is no dataset folder {choice!r}: it must be one below {', '.join(roots)}, and no link that leads out "
        f"of it (more roots: {DATASETS_FOLDER} in extra_model_paths.yaml)"
    )


def output_folder(*parts: str) -> Path:
    """A folder below the output folder, made if it is not there; see `output_path`."""
    folder = output_path("/".join(parts))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def label_files() -> list[str]:
    """Dataset files that labelling wrote into the output folder, marked as the host marks them."""
    folder = Path(folder_paths.get_output_directory()) / DATASETS_FOLDER
    return [f"{DATASETS_FOLDER}/{path.name} [output]" for path in sorted(folder.glob("*.json"))]


def identity(model_patcher: Any) -> str:
    """Changes with the files of a network that `patcher` gave, and with what its weights are kept in."""
    return repr(registry.key_of(model_patcher))


def model_files(folder: str) -> list[str]:
    """Relative paths of the files in one of the host's model folders; cached by the host.

    The host looks at every folder of its last list and raises for one that was deleted since, so that the node that
    asked is missing from the page; it then has to list anew.
    """
    try:
        return folder_paths.get_filename_list(folder)
    except FileNotFoundError:
        folder_paths.filename_list_cache.pop(folder, None)
        return folder_paths.get_filename_list(folder)


def model_path(folder: str, name: str) -> Path:
    """Absolute path of a file or folder below one of the host's model folders.

    Raises:
        FileNotFoundError: nothing of that name there; a name cannot lead out of the folder.
    """
    roots = [Path(os.path.normpath(root)) for root in folder_paths.get_folder_paths(folder)]
    for root in roots:
        path = Path(os.path.normpath(root / name))
        if path.is_relative_to(root) and path.exists():
            return path
    raise FileNotFoundError(f"there is no {name!r} in {', '.join(str(root) for root in roots)}")


def bundled_tokenizer_folder() -> Path:
    """Folder with the vocabulary of the host's Qwen tokenizer, for text encoders that come without one."""
    return Path(comfy.utils.__file__).parent / "text_encoders" / "qwen25_tokenizer"


def compute_dtype(choice: str) -> torch.dtype:
    """What the DiT, the condition encoder and the text encoder run in.

    Args:
        choice: "auto" follows the device and the host's options, "bfloat16" and "float32" are taken as they are.
    """
    if choice != "auto":
        return getattr(torch, choice)
    wanted = comfy.model_management.unet_dtype(
        device=comfy.model_management.get_torch_device(), supported_dtypes=[torch.bfloat16, torch.float32]
    )
    return torch.float32 if wanted == torch.float32 else torch.bfloat16


def vae_compute_dtype(choice: str) -> torch.dtype:
    """What the VAE runs in; see `compute_dtype`."""
    if choice != "auto":
        return getattr(torch, choice)
    device = comfy.model_management.vae_device()
    return comfy.model_management.vae_dtype(device, [torch.bfloat16, torch.float32])


def patcher(
    source: WeightSource[Any], dtype: torch.dtype, *, kind: str, ops: Ops | None = None, int8: bool = False
) -> Any:
    """The one patcher of a network, loading its weights if nobody holds them yet.

    Args:
        ops: layer classes built on `CASTING_OPS`; None for these themselves.
        dtype: what it will compute in. Float8 weights stay float8 on an accelerator and are cast at use.
        kind: "diffusion", "text" or "vae": which of the host's devices it uses.
        int8: keep the matrices of a planner as int8, whatever it computes in.

    Raises:
        ValueError: int8 weights for another device than a CPU.
    """
    management = comfy.model_management
    devices: dict[str, tuple[Callable[[], torch.device], Callable[[], torch.device]]] = {
        "diffusion": (management.get_torch_device, management.unet_offload_device),
        "text": (management.text_encoder_device, management.text_encoder_offload_device),
        "vae": (management.vae_device, management.vae_offload_device),
    }
    load_device, offload_device = (device() for device in devices[kind])
    stored = source.dtype in FLOAT8 and load_device.type != "cpu"
    storage = source.dtype if stored else dtype
    if int8:
        if load_device.type != "cpu":
            raise ValueError(f"int8 weights are for a CPU, but this ComfyUI uses {load_device}: choose full weights")
        storage = torch.int8

    def build() -> Any:
        patcher_class = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
        if int8:
            network = build_int8(source.config, load_state_dict(source), ops=CASTING_OPS)
        else:
            network = build_network(source, ops=ops or CASTING_OPS, dtype=storage)
        return patcher_class(network, load_device=load_device, offload_device=offload_device)

    return registry.get(weight_key(source, storage), build)


class _PatchAdapter(comfy.weight_adapter.WeightAdapterBase):
    """An adapter of one weight as the host patches it; newer hosts make copies from its two attributes."""

    name = "ace_composer"

    def __init__(self, loaded_keys: set[str], weights: tuple[Any, ...]) -> None:
        self.loaded_keys = loaded_keys
        self.weights = weights

    def calculate_weight(self, weight: Tensor, key: str, strength: float, *_: object, **__: object) -> Tensor:
        """The changed weight; the arguments left out are about parts of weights and about no change of this kind."""
        return (weight.float() + weight_change(weight, Adapter(*self.weights), strength)).to(weight.dtype)


def adapter_weights(files: AdapterFiles, model_patcher: Any) -> AdapterWeights:
    """An adapter's tensors, shared by all that use the file.

    The host forgets a node's outputs before it runs the node again, so the last few adapters put on a network stay in
    memory as long as the network: another strength reads nothing.
    """
    loaded = registry.get(adapter_key(files), lambda: load_adapter(files))
    kept = _kept_adapters.setdefault(model_patcher.model, {})
    kept.pop(files.path, None)
    kept[files.path] = loaded
    if len(kept) > KEPT_ADAPTERS:
        del kept[next(iter(kept))]
    return loaded


def with_adapter(model_patcher: Any, adapter: AdapterWeights, strengths: Strengths) -> Any:
    """A clone of a patcher, over the same network, that adds an adapter to its weights while it is loaded."""
    patches: dict[float, dict[str, _PatchAdapter]] = {}
    for name, weights in adapter.weights.items():
        patches.setdefault(strengths.of(name), {})[name] = _PatchAdapter(set(), weights)
    clone = model_patcher.clone()
    for strength, adapters in patches.items():
        if strength != 0:
            clone.add_patches(adapters, strength)
    return clone


def base_weights(model_patcher: Any) -> dict[str, Tensor]:
    """A network's parameters by name without what adapters add, wherever each lies; not to be changed."""
    return {name: patches[0][0] for name, patches in model_patcher.get_key_patches().items()}


def make_room(device: torch.device, memory_bytes: int) -> None:
    """Evict models until there is this much memory on a device."""
    comfy.model_management.free_memory(memory_bytes, device)


def load(model_patcher: Any, memory_bytes: int = 0, *, whole: bool = False) -> tuple[Any, torch.device]:
    """Bring a network onto its device, evicting others as needed.

    Args:
        memory_bytes: what the work will need above the weights.
        whole: all of it, even where the host would rather stream a part.

    Returns:
        The network and the device to run it on.
    """
    comfy.model_management.load_models_gpu([model_patcher], memory_required=memory_bytes, force_full_load=whole)
    return model_patcher.model, model_patcher.load_device


def give_memory_back() -> None:
    """Return memory that nothing uses any more to the device; for after a big piece of work."""
    comfy.model_management.soft_empty_cache()


def total_memory_bytes(model_patcher: Any) -> int:
    """Memory of the device a network runs on."""
    return int(comfy.model_management.get_total_memory(model_patcher.load_device))


def attention(device: torch.device) -> AttentionFunction:
    """The attention function for a device: the back end the user chose, or PyTorch's on a CPU."""
    return scaled_dot_product_attention if device.type == "cpu" else _host_attention


def _host_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    heads = query.shape[1]
    repeats = heads // key.shape[1]
    if repeats > 1:
        key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    out: Tensor = optimized_attention(query, key, value, heads, mask=mask, skip_reshape=True, skip_output_reshape=True)
    return out


def device_name(device: torch.device) -> str:
    """What a device is, such as "cpu", or "cuda:0" with the name of the card."""
    return str(comfy.model_management.get_torch_device_name(device))


def user_files(suffixes: Collection[str]) -> list[str]:
    """Files in the input folder, and in the output folder and below it, marked as the host marks them.

    Args:
        suffixes: in lower case, with their dots.
    """
    inputs, output = Path(folder_paths.get_input_directory()), Path(folder_paths.get_output_directory())
    given = [path.name for path in inputs.glob("*") if path.suffix.lower() in suffixes]
    saved = [path.relative_to(output).as_posix() for path in output.rglob("*") if path.suffix.lower() in suffixes]
    return [*sorted(given), *(f"{name} [output]" for name in sorted(saved))]


def input_path(name: str) -> Path:
    """Absolute path of a file in the input folder, or with " [output]" behind its name in the output folder.

    Raises:
        FileNotFoundError: it is not there; a name cannot lead out of these folders.
    """
    folder, name = folder_paths.get_input_directory(), name.removesuffix(" [input]")
    if name.endswith(" [output]"):
        folder, name = folder_paths.get_output_directory(), name.removesuffix(" [output]")
    root = Path(os.path.realpath(folder))
    path = Path(os.path.realpath(root / name))
    if not path.is_relative_to(root) or not path.is_file():
        raise FileNotFoundError(f"there is no file {name!r} in {root}")
    return path


def new_output_files(prefix: str, *suffixes: str) -> list[tuple[Path, dict[str, str]]]:
    """Names of new files of one number in the output folder; their folder is made.

    Args:
        prefix: name of the files, with folders below the output folder if wanted.
        suffixes: one for each file, with its dot.

    Returns:
        Of each file the path, and how the host's results name it.
    """
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, folder_paths.get_output_directory())
    names = [f"{name}_{counter:05}_{suffix}" for suffix in suffixes]
    return [(Path(folder) / name, {"filename": name, "subfolder": subfolder, "type": "output"}) for name in names]


def save_texts(prefix: str, texts: Mapping[str, str]) -> list[dict[str, str]]:
    """Write texts to new files, each all of it or nothing; see `new_output_files`.

    Args:
        texts: by the suffix of their file, with its dot.

    Returns:
        The files as the host's results name them.
    """
    files = new_output_files(prefix, *texts)
    for (path, _), text in zip(files, texts.values(), strict=True):
        write_whole(path, lambda unfinished, text=text: unfinished.write_text(text, encoding="utf-8"))
    return [saved for _, saved in files]


def graph_to_save(hidden: Any) -> tuple[object, object]:
    """Workflow and prompt of an output node's hidden inputs; None where there is none, or the user saves none.

    The user switches both off with ComfyUI's option `--disable-metadata`.
    """
    if comfy.cli_args.args.disable_metadata:
        return None, None
    return (hidden.extra_pnginfo or {}).get("workflow"), hidden.prompt


def output_path(name: str) -> Path:
    """Absolute path of a folder below the output folder, whether it exists or not; links are resolved.

    Raises:
        ValueError: the name leads out of the output folder.
    """
    root = Path(os.path.realpath(folder_paths.get_output_directory()))
    path = Path(os.path.realpath(root / name))
    if not path.is_relative_to(root):
        raise ValueError(f"the name {name!r} leads out of {root}; choose one below it")
    return path


def new_model_name(folder: str, prefix: str) -> tuple[Path, str]:
    """A name for a new file or folder below one of the host's model folders, without suffix; its place is made.

    Args:
        prefix: the name, with folders if wanted; a number is added.

    Returns:
        The first directory of the model folder, and the name below it.

    Raises:
        ValueError: the name leads out of the directory.
    """
    root = Path(os.path.abspath(folder_paths.get_folder_paths(folder)[0]))
    if not Path(os.path.abspath(root / prefix)).is_relative_to(root):
        raise ValueError(f"the name {prefix!r} leads out of {root}; choose one below it")
    place, name, counter, _, _ = folder_paths.get_save_image_path(prefix, str(root))
    return root, (Path(place) / f"{name}_{counter:05}_").relative_to(root).as_posix()


def progress() -> Progress:
    """A progress bar on the running node; its calls raise when the user cancels."""
    bar = comfy.utils.ProgressBar(1)

    def update(done: int, total: int) -> None:
        check_cancelled()
        bar.update_absolute(done, total)

    return update


def unconnected(name: str) -> Any:
    """What an output gives whose input has nothing on it: an error for whoever uses it, and nothing for others."""
    return ExecutionBlocker(f"connect {name} to this node's input first: its output has nothing to give")


def check_cancelled() -> None:
    """Raise what ends the running node, if the user has cancelled it."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def nothing() -> ExecutionBlocker:
    """What a node gives out where there is nothing: nodes behind it do not run."""
    return ExecutionBlocker(None)


def show_text(node_id: str | None, text: str) -> None:
    """Show text on a node of the graph; does nothing where no server runs.

    The newer renderer of the page takes it for Markdown, where a line ends with two spaces; the older one shows it as
    it is.
    """
    server = getattr(PromptServer, "instance", None)
    if server is not None and node_id is not None:
        server.send_progress_text(text.replace("\n", "  \n"), node_id)
