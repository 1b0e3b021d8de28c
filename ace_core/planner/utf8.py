"""A reader of UTF-8 that can stop between any two bytes: its state is what the next byte may be.

Stricter than UTF-8 itself. Of the control characters newline alone has a way through, and neither have U+FFFD, which
stands for what could not be read, nor U+FFFE and U+FFFF, which are not characters. So bytes that leave the reader in
`COMPLETE` are text that a song plan can hold.
"""

from __future__ import annotations

COMPLETE = 0  # between characters
STATES = range(11)

# state -> ranges of legal continuation bytes, each with the state after it
_CONTINUATION = {
    1: ((0x80, 0xBF, COMPLETE),),
    2: ((0x80, 0xBF, 1),),
    3: ((0x80, 0xBF, 2),),
    4: ((0xA0, 0xBF, 1),),  # after E0: shorter forms are illegal
    5: ((0x80, 0x9F, 1),),  # after ED: surrogates are illegal
    6: ((0x90, 0xBF, 2),),  # after F0: shorter forms are illegal
    7: ((0x80, 0x8F, 2),),  # after F4: nothing beyond U+10FFFF
    8: ((0xA0, 0xBF, COMPLETE),),  # after C2: no control characters
    9: ((0x80, 0xBE, 1), (0xBF, 0xBF, 10)),  # after EF
    10: ((0x80, 0xBC, COMPLETE),),  # after EF BF: U+FFFC at most
}
_SPECIAL_LEADS = {0xC2: 8, 0xE0: 4, 0xED: 5, 0xEF: 9, 0xF0: 6, 0xF4: 7}


def next_state(state: int, text: bytes) -> int | None:
    """The state after some bytes; None if they are not legal there."""
    for byte in text:
        after = _after_lead(byte) if state == COMPLETE else _after_continuation(state, byte)
        if after is None:
            return None
        state = after
    return state


def _after_lead(byte: int) -> int | None:
    if byte < 0x80:
        return COMPLETE if byte == 0x0A or 0x20 <= byte < 0x7F else None
    if byte in _SPECIAL_LEADS:
        return _SPECIAL_LEADS[byte]
    if 0xC3 <= byte < 0xE0:
        return 1
    if 0xE1 <= byte < 0xEF:
        return 2
    return 3 if 0xF1 <= byte < 0xF4 else None


def _after_continuation(state: int, byte: int) -> int | None:
    return next((after for first, last, after in _CONTINUATION[state] if first <= byte <= last), None)
