"""What training leaves in weight files: states of optimizers, averaged copies (EMA), wrappers around the names.

Files of other programs hold the weights of a network under its names and nothing else. A trainer may save more of what
it has in memory, and under the names that it has there. Such files are read too, and what is left out is said.

Trap: a file with an averaged copy holds a network twice. The plain weights are taken, as other programs take them from
such a file, so that it sounds the same everywhere; a file with nothing else gives the averaged ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from . import kinds
from .files import StoredTensor, WeightFiles, name_some

_STATES = re.compile(
    r"(optim(izer)?s?|optimizer_states?|opt|lr_schedulers?|schedulers?|(grad_)?scaler|loss(es)?|discriminators?"
    r"|training_state|rng_states?)\..+"
    r"|.+\.(exp_avg|exp_avg_sq|max_exp_avg_sq|momentum_buffer)"
    r"|(global_)?step|epoch|iteration|num_updates|decay"
)
_AVERAGED = ("ema", "ema_model", "model_ema", "ema_params", "shadow_params", "averaged_model")
_WRAPPERS = (
    "module.",
    "_orig_mod.",
    "_forward_module.",
    "state_dict.",
    "model.",
    "diffusion_model.",
    "autoencoder.",
    "first_stage_model.",
    "vae.",
)
_MOST_WRAPPERS = 3
_KNOWN = (kinds.MODEL, kinds.TEXT_ENCODER, kinds.PLANNER, kinds.VAE, *kinds.SEVERAL_NETWORKS)
Tensors = Mapping[str, StoredTensor]


class OwnWeights(NamedTuple):
    """Weights without what training left, and sentences about what that was."""

    weights: WeightFiles
    notes: tuple[str, ...]


def own_weights(weights: WeightFiles) -> OwnWeights:
    """The network in a file; the file as it is where there is none that is known."""
    states = [name for name in weights.tensors if _STATES.fullmatch(name)]
    rest = _without(weights.tensors, states)
    averaged = {name: own for name in rest if (own := _plain_name(name)) != name}
    plain = _unwrapped(_without(rest, averaged))
    notes = []
    if plain is not None and averaged:
        notes.append(
            f"the file holds {len(averaged)} weights a second time, averaged over training (EMA: "
            f"{name_some([*averaged], 2)}): the plain ones are used"
        )
    elif plain is None and averaged:
        plain = _unwrapped({averaged[name]: rest[name] for name in averaged})
        notes.append(f"the file holds averaged weights only (EMA: {name_some([*averaged], 2)}): they are used")
    if plain is None:
        return OwnWeights(weights, ())
    if states:
        notes.append(f"not used: {len(states)} tensors that training left in the file ({name_some(states, 3)})")
    return OwnWeights(weights._replace(tensors=plain), tuple(notes))


def _unwrapped(tensors: Tensors) -> Tensors | None:
    """The tensors under names that are known, without what wraps all of them; None if there is no such network."""
    for _ in range(_MOST_WRAPPERS + 1):
        if kinds.identify(tensors) in _KNOWN:
            return tensors
        wrapper = next((wrapper for wrapper in _WRAPPERS if all(name.startswith(wrapper) for name in tensors)), None)
        if wrapper is None or not tensors:
            return None
        tensors = {name[len(wrapper) :]: tensor for name, tensor in tensors.items()}
    return None


def _plain_name(name: str) -> str:
    """A tensor's name without the words that mark it as averaged, which are among its first two."""
    first, *others = name.split(".")
    words = [first if first in _AVERAGED else first.removesuffix("_ema"), *others]
    return ".".join(word for number, word in enumerate(words) if number > 1 or word not in _AVERAGED)


def _without(tensors: Tensors, names: Iterable[str]) -> Tensors:
    left_out = {*names}
    return {name: tensor for name, tensor in tensors.items() if name not in left_out}
