"""A file of named arrays with a checksum: no code in it, and nothing is believed before it is checked.

Layout: 8 bytes that name the format, 8 bytes for the length of the header (little endian), the header in JSON, the
arrays one behind the other, and 32 bytes of SHA-256 over all that comes before.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from mindspore_gs._files import whole_file
from mindspore_gs.errors import CheckpointError, first_line

MAGIC = b"GSQUANT1"
_START = len(MAGIC) + 8
_SUM = 32
_LONGEST_HEADER = 64 << 20


def write(path: Path, header: dict[str, Any], parts: list[bytes]) -> None:
    """Write a file; an old one is replaced only once the new one is complete.

    Raises:
        CheckpointError: it cannot be written.
    """
    text = json.dumps(header, sort_keys=True).encode()
    content = b"".join([MAGIC, len(text).to_bytes(8, "little"), text, *parts])
    try:
        with whole_file(path) as draft:
            draft.write_bytes(content + hashlib.sha256(content).digest())
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {first_line(error)}") from error


def read(path: str | os.PathLike) -> tuple[Any, memoryview]:
    """Header and arrays of a file.

    Raises:
        CheckpointError: there is none, it is another kind of file, it is cut off, or a byte of it has changed.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {first_line(error)}") from error
    if content[:len(MAGIC)] != MAGIC:
        raise CheckpointError(f"{path} was not written by save_quantized().")
    size = int.from_bytes(content[len(MAGIC):_START], "little")
    if size > min(_LONGEST_HEADER, len(content) - _START - _SUM):
        raise CheckpointError(f"{path} is cut off: {len(content)} bytes with a header of {size}. Copy it again.")
    if hashlib.sha256(content[:-_SUM]).digest() != content[-_SUM:]:
        raise CheckpointError(f"{path} is damaged: its checksum does not fit. Copy it again.")
    try:
        header = json.loads(content[_START:_START + size])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} has a header that cannot be read: {first_line(error)}") from error
    return header, memoryview(content)[_START + size:-_SUM]
