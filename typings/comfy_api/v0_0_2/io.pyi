from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

class _Widget:
    extra_dict: dict[str, Any]

class _Type:
    io_type: ClassVar[str]

    class Input(_Widget):
        id: str
        io_type: str

        def __init__(
            self,
            id: str,
            *,
            default: Any = ...,
            options: Sequence[str] = ...,
            min: float = ...,
            max: float = ...,
            step: float = ...,
            round: float = ...,
            multiline: bool = ...,
            placeholder: str = ...,
            optional: bool = ...,
            force_input: bool = ...,
            control_after_generate: bool = ...,
            dynamic_prompts: bool = ...,
            upload: Any = ...,
            tooltip: str,
            extra_dict: dict[str, Any] = ...,
        ) -> None: ...

    class Output:
        def __init__(self, id: str, *, display_name: str, tooltip: str) -> None: ...

class Int(_Type): ...
class Float(_Type): ...
class String(_Type): ...
class Boolean(_Type): ...
class Combo(_Type): ...
class Audio(_Type): ...
class Image(_Type): ...
class Latent(_Type): ...
class Mask(_Type): ...

def Custom(io_type: str) -> type[_Type]: ...

class Hidden:
    unique_id: ClassVar[Hidden]
    prompt: ClassVar[Hidden]
    extra_pnginfo: ClassVar[Hidden]

class HiddenHolder:
    unique_id: str | None
    prompt: Any
    extra_pnginfo: Any

class UploadType:
    audio: ClassVar[UploadType]

@dataclass
class Schema:
    inputs: list[_Type.Input]
    def __init__(self, **fields: Any) -> None: ...

class NodeOutput:
    def __init__(self, *outputs: Any, ui: Mapping[str, Any] | None = ...) -> None: ...

class ComfyNode:
    hidden: ClassVar[HiddenHolder]
    @classmethod
    def define_schema(cls) -> Schema: ...
