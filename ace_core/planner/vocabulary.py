"""Token ids of the 5 Hz planner: Qwen3's text vocabulary, then one token for each audio code.

Code c is token `FIRST_CODE + c`; one code is 0.2 s of music. Nothing ever needs a tokenizer that knows 65 535 code
tokens: ids are computed.

Trap: the embedding has 65 535 code rows, but the quantiser has 64 000 values. The rows above are never legal.
"""

from __future__ import annotations

TURN_START = 151_644
TURN_END = 151_645  # the stop token
THINK_START = 151_667
THINK_END = 151_668
TEXT_ROWS = 151_669  # ids below this are text and special tokens
FIRST_CODE = 151_669
MAX_POSITIONS = 40_960
