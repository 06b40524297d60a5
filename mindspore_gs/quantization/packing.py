"""Pack small integers into bytes, 8 / bits of them into each."""

import numpy as np


def packed_size(count: int, bits: int) -> int:
    """Bytes that ``count`` numbers of ``bits`` bits take.

    >>> packed_size(9, 1), packed_size(9, 2), packed_size(9, 4)
    (2, 3, 5)
    """
    return -(-count * bits // 8)


def pack(numbers: np.ndarray, bits: int) -> bytes:
    """The numbers, which are below 2^bits, in their order; the first is in the lowest bits of the first byte.

    Args:
        numbers: any shape of unsigned integers.
        bits: 1, 2 or 4.

    Returns:
        :func:`packed_size` bytes; what is left of the last byte is 0.

    >>> pack(np.array([1, 0, 1, 1]), 1), pack(np.array([1, 2, 3]), 4)
    (b'\\r', b'!\\x03')
    """
    each = 8 // bits
    flat = np.zeros(packed_size(numbers.size, bits) * each, np.uint8)
    flat[:numbers.size] = numbers.ravel()
    shifts = np.arange(each, dtype=np.uint8) * bits
    return (flat.reshape(-1, each) << shifts).sum(axis=1, dtype=np.uint8).tobytes()


def unpack(data: bytes | memoryview, count: int, bits: int) -> np.ndarray:
    """The first ``count`` numbers of what :func:`pack` gave, as uint8 of shape (count,).

    >>> unpack(pack(np.array([1, 2, 3]), 4), 3, 4).tolist()
    [1, 2, 3]
    """
    shifts = np.arange(8 // bits, dtype=np.uint8) * bits
    numbers = (np.frombuffer(data, np.uint8)[:, None] >> shifts) & np.uint8(2 ** bits - 1)
    return numbers.reshape(-1)[:count]
