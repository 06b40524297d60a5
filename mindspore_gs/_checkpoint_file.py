"""Is a MindSpore checkpoint whole? Looked at here, byte by byte, before MindSpore's loader sees it.

That loader believes what a file says about itself: where a size is damaged it reads beyond the end and takes the
process down with it. A checkpoint is a sequence of protobuf messages, one for each entry (a large entry has several)::

    Checkpoint { 1: Value { 1: tag, 2: TensorProto { 1: dims, 2: tensor_type, 3: tensor_content } } }

Behind them, in files that were saved with ``crc_check=True``, stand the text ``crc_num`` and the CRC32 of all that
comes before, in ten bytes. Sources: MindSpore's ``checkpoint.proto``, and the protobuf encoding,
https://protobuf.dev/programming-guides/encoding.
"""

import mmap
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

ITEM_BYTES = {"Bool": 1, "Int8": 1, "UInt8": 1, "Int16": 2, "UInt16": 2, "Int32": 4, "UInt32": 4, "Int64": 8,
              "UInt64": 8, "Float16": 2, "BFloat16": 2, "Float32": 4, "Float64": 8, "str": 4}
_MARK, _DIGITS = b"crc_num", 10
_NUMBER, _BYTES = 0, 2  # wire types of protobuf
_LONGEST_NUMBER = 10  # bytes of a number of 64 bits
_HIGHEST_SIZE = 2 ** 62
_MOST_AXES = 16


class DamagedError(ValueError):
    """What is wrong with a file, as a sentence that goes on behind the file's name."""


@dataclass(frozen=True)
class _Part:
    """A piece of an entry: what its message says, and how many bytes of content it brings."""

    tag: str
    kind: str
    dims: tuple[int, ...]
    size: int


def check_file(path: Path) -> None:
    """Compare the sizes in a checkpoint with its bytes, and its contents with its checksum where it has one.

    Args:
        path: an existing file. It is mapped, not read: the check needs no memory for the file's contents.

    Raises:
        DamagedError: the file is cut short, changed, or no checkpoint.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if not file.seek(0, 2):
            raise DamagedError("is empty")
        check_bytes(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


def check_bytes(view: memoryview) -> None:
    """Do what :func:`check_file` does, for the contents of a file.

    Raises:
        DamagedError: as there.
    """
    end = len(view) - len(_MARK) - _DIGITS
    if end > 0 and view[end:end + len(_MARK)] == _MARK:
        noted = int.from_bytes(view[-_DIGITS:], "big")
        if zlib.crc32(view[:end]) != noted:
            raise DamagedError("is damaged: its contents do not have the checksum that it was saved with")
    else:
        end = len(view)
    left: dict[str, int] = {}
    known: dict[str, _Part] = {}
    last = None
    for part in _parts(view[:end]):
        if part.tag != last and part.tag in known:
            raise DamagedError(f"is damaged: it has the entry {part.tag!r} twice")
        first = known.setdefault(part.tag, part)
        if (part.kind, part.dims) != (first.kind, first.dims):
            raise DamagedError(f"is damaged: the parts of {part.tag!r} differ in shape or type")
        left[part.tag] = left.get(part.tag, _bytes_of(first)) - part.size
        last = part.tag
    wrong = next((tag for tag, missing in left.items() if missing), None)
    if wrong is not None:
        part = known[wrong]
        raise DamagedError(f"is damaged: {wrong!r} of shape {part.dims} and type {part.kind} needs {_bytes_of(part)} "
                           f"bytes, but has {_bytes_of(part) - left[wrong]}")


def _bytes_of(part: _Part) -> int:
    """The bytes that an entry needs. MindSpore writes the shape of a single number as (0,)."""
    if part.kind == "str":
        return part.size
    return ITEM_BYTES[part.kind] * (1 if part.dims == (0,) else prod(part.dims))


def _parts(view: memoryview) -> Iterator[_Part]:
    for number, value in _fields(view):
        if number != 1 or not isinstance(value, memoryview):
            raise DamagedError("is damaged or no MindSpore checkpoint: it has an entry of an unknown kind")
        yield _part(value)


def _part(view: memoryview) -> _Part:
    entry = _once(view, {1: "tag", 2: "tensor"})
    tag = _text(entry["tag"], "the name of an entry")
    dims: list[int] = []
    rest: dict[int, list[int | memoryview]] = {2: [], 3: []}
    for number, value in _fields(entry["tensor"]):
        if number == 1:
            dims += [value] if isinstance(value, int) else list(_numbers(value))
        elif number in rest:
            rest[number].append(value)
        else:
            raise DamagedError(f"is damaged: {tag!r} has a field of an unknown kind")
    kinds, contents = rest[2], rest[3]
    if len(kinds) != 1 or len(contents) != 1 or not isinstance(kinds[0], memoryview) or not isinstance(
            contents[0], memoryview):
        raise DamagedError(f"is damaged: {tag!r} has no type or no content")
    kind = _text(kinds[0], f"the type of {tag!r}")
    if kind not in ITEM_BYTES:
        raise DamagedError(f"is damaged, or not for the networks here: {tag!r} has the type {kind!r}, but known are "
                           f"{', '.join(ITEM_BYTES)}")
    if len(dims) > _MOST_AXES or any(n >= _HIGHEST_SIZE for n in dims):
        raise DamagedError(f"is damaged: the shape of {tag!r} is impossible")
    return _Part(tag, kind, tuple(dims), len(contents[0]))


def _once(view: memoryview, names: dict[int, str]) -> dict[str, memoryview]:
    """The fields of a message that has each of these exactly once and no others, all of them bytes."""
    found: dict[str, memoryview] = {}
    for number, value in _fields(view):
        if number not in names or names[number] in found or not isinstance(value, memoryview):
            raise DamagedError("is damaged, or not for the networks here: an entry is no tensor with a name")
        found[names[number]] = value
    if len(found) != len(names):
        raise DamagedError("is damaged: an entry has no name or no tensor")
    return found


def _text(view: memoryview, what: str) -> str:
    try:
        return bytes(view).decode()
    except UnicodeDecodeError as error:
        raise DamagedError(f"is damaged: {what} is no text") from error


def _fields(view: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message: (number, value), where bytes stay where they are."""
    place = 0
    while place < len(view):
        key, place = _number(view, place)
        number, wire = key >> 3, key & 7
        value, place = _number(view, place) if wire in (_NUMBER, _BYTES) else (None, place)
        if value is None or not number:
            raise DamagedError("is damaged or no MindSpore checkpoint: it has a field of an unknown kind")
        if wire == _NUMBER:
            yield number, value
            continue
        if value > len(view) - place:
            raise DamagedError("is cut short or damaged: an entry is longer than what is left of the file")
        yield number, view[place:place + value]
        place += value


def _numbers(view: memoryview) -> Iterator[int]:
    place = 0
    while place < len(view):
        value, place = _number(view, place)
        yield value


def _number(view: memoryview, place: int) -> tuple[int, int]:
    """A number of at most 64 bits, seven in each byte, and the place behind it."""
    value = 0
    for k in range(_LONGEST_NUMBER):
        if place + k >= len(view):
            raise DamagedError("is cut short or damaged: it ends within an entry")
        byte = view[place + k]
        value |= (byte & 0x7F) << (7 * k)
        if byte < 0x80:
            return value, place + k + 1
    raise DamagedError("is damaged or no MindSpore checkpoint: a number has no end")
