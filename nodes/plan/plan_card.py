"""Plans as the page's plan card gets them (`js/plan_cards.js`): the fields, their values, and who decided each.

The data are keys and values, so that the page can say them in the user's language. A value is as a widget of Blueprint
or the changes of Edit Blueprint take it, but for audio codes, which are base64 of 16 bits each, the low byte first.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Any

from ...ace_core.song.blueprint import Blueprint
from ...ace_core.song.fields import AUTO_FIELDS, SONG_FIELDS, TIME_SIGNATURES

PLANS = "ace_plans"
NOTES = "ace_plan_notes"


def plan_cards(plans: Sequence[Blueprint], notes: Sequence[str] = ()) -> dict[str, list[Any]]:
    """What a node adds to its results for the page: each plan as its fields, and what else there is to say."""
    return {PLANS: [_fields(plan) for plan in plans], NOTES: [*notes]}


def _fields(plan: Blueprint) -> list[dict[str, Any]]:
    """Without those that nobody misses where they are open."""
    return [
        {"name": name, "value": _shown_value(plan, name), "origin": plan.origin(name)}
        for name in SONG_FIELDS
        if name in AUTO_FIELDS or getattr(plan, name) is not None
    ]


def _shown_value(plan: Blueprint, name: str) -> Any:
    value = getattr(plan, name)
    if name == "audio_codes" and value is not None:
        return base64.b64encode(struct.pack(f"<{len(value)}H", *value)).decode("ascii")
    if name == "time_signature" and value is not None:
        return TIME_SIGNATURES[value]
    return value
