"""What one request may ask for, and what one answer may take. ``http_api.md`` states these numbers."""

from __future__ import annotations

NAME_CHARACTERS = 4096
"""Of any parameter's text."""
COLUMNS = 4096
"""Columns, or steps, that a request may ask for."""
CELLS = 1 << 22
"""Elements of one array computed from statistics."""
RECORDS = 4096
"""Records that an answer over steps is made of."""
GRAMS = 512
"""Gram matrices a side of a comparison, or steps of a projection."""
MATCHED = 512
MATCHED_VALUES = 1 << 24
"""Channels a side whose partners are looked for, and values of their maps."""
HEADS = 1024
"""Attention records that an answer over steps is made of; each is read as a whole."""
READ_BYTES = 64 << 20
"""Decoded records that an answer is made of, together."""
READ_S = 20.0
"""Time for the reading of an answer's records."""
RECORD_BYTES = 64 << 20
"""One record, as logged and decoded."""
RANGE_RECORDS = 512
RANGE_BYTES = 8 << 20
"""Records of ``maps_range`` in one answer, at least one."""
JSON_BYTES = 32 << 20
CSV_ROWS = 1 << 17
NPY_BYTES = 64 << 20
PICTURE_PIXELS = 1 << 24
REMOVED_RUNS = 1000
"""Runs whose removal ``changes`` still knows of."""


class TooLargeError(ValueError):
    """The answer would be over a limit; the message says which, and how to ask for less."""


def check(what: str, number: int, limit: int, advice: str) -> None:
    """Raise TooLargeError where there are more than `limit` of something."""
    if number > limit:
        raise TooLargeError(f"{number} {what}; one answer has at most {limit}: {advice}")
