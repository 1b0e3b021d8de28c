from ace_composer.ace_core.models.ops import Ops

manual_cast: Ops
