"""Save and load networks with low-bit weights; a weight takes 1, 2 or 4 bits in the file."""

import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import copy_network, forget_compilation, get_cell, parameters_by_name
from mindspore_gs._constructor import built_by, check_constructor
from mindspore_gs._files import checked_path, path_with_suffix
from mindspore_gs._precision import say_what_no_file_holds
from mindspore_gs.errors import CheckpointError
from mindspore_gs.quantization import container
from mindspore_gs.quantization.packing import pack, packed_size, unpack
from mindspore_gs.quantization.slb.convert import GRID, Grid, converted, quantized_layers
from mindspore_gs.quantization.slb.layers import operator_of, round_input, slb_layers
from mindspore_gs.quantization.slb.slb_quant import FixedRounding, RoundingOperator
from mindspore_gs.quantization.slb.values import BITS, candidates, nearest
from mindspore_gs.record import has_record, refuse_begun, set_form

_TYPES = ("float16", "float32", "float64", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
          "uint64", "complex64", "complex128")
_SUFFIX = ".slb"


@dataclass(frozen=True)
class _Entry:
    """One parameter in the file; ``bits`` is 0 where its numbers are stored as they are.

    A packed one is preceded by its scales, one float32 for each entry of the first axis.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bits: int

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        count = math.prod(self.shape)
        return 4 * self.shape[0] + packed_size(count, self.bits) if self.bits else np.dtype(self.dtype).itemsize * count


def save_quantized(net: nn.Cell, path: str | os.PathLike) -> Path:
    """Store a network with low-bit weights.

    A weight of b bits takes b bits, and each output channel 4 bytes for its scale. All other parameters are stored as
    they are. Mixed precision is not in the file: what :func:`load_quantized` returns computes in float32.

    Args:
        net: what ``SlbQuantAwareTraining.convert`` returned, or what ``apply`` returned.
        path: the file; ``.slb`` is appended where it is missing. It is replaced only once it is complete.

    Returns:
        Path of the file.

    Raises:
        TypeError: ``net`` is not a Cell, or ``path`` is no path.
        ValueError: ``path`` is empty or a folder.
        CheckpointError: it has no low-bit weights, they have been changed since ``convert``, or the file cannot be
            written.
    """
    if not isinstance(net, nn.Cell):
        raise TypeError(f"save_quantized() takes a mindspore.nn.Cell, but got {type(net).__name__!r}.")
    path = path_with_suffix("save_quantized()", "path", path, _SUFFIX)
    if has_record(net):
        raise CheckpointError(f"{type(net).__name__} has masks, which the file does not hold; save the network that "
                              "convert() of its pruner returns.")
    refuse_begun("save_quantized()", net, CheckpointError)
    net = converted(net) if slb_layers(net) else net
    layers = quantized_layers(net)
    if not layers:
        raise CheckpointError(f"{type(net).__name__} has no low-bit weights; save the network that "
                              "SlbQuantAwareTraining.convert() returned.")
    grids = {id(cell.weight): (where, vars(cell)[GRID].bits, vars(cell)[GRID].scale) for where, cell in layers.items()}
    entries, parts = [], []
    for name, parameter in parameters_by_name(net).items():
        entry, data = _packed(name, parameter, grids) if id(parameter) in grids else _as_it_is(name, parameter)
        entries.append(asdict(entry))
        parts.append(data)
    header = {"entries": entries, "layers": {where: _layer(net, cell) for where, cell in layers.items()}}
    container.write(path, header, parts)
    say_what_no_file_holds(net, "load_quantized()")
    return path


def _layer(net: nn.Cell, cell: Any) -> dict[str, Any]:
    """What the file says of a layer: name of its weight, and how its input is rounded."""
    own = {id(p): name for name, p in parameters_by_name(net).items()}
    found: dict[str, Any] = {"weight": own[id(cell.weight)]}
    rounding = getattr(cell, str(operator_of(cell)), None)
    if isinstance(rounding, RoundingOperator):
        found["input"] = [*rounding.quantizer.bounds, rounding.quantizer.top]
    return found


def _as_it_is(name: str, parameter: ms.Parameter) -> tuple[_Entry, bytes]:
    value = parameter.asnumpy() if parameter.dtype != ms.bfloat16 else parameter.astype(ms.float32).asnumpy()
    return _Entry(name, value.shape, str(value.dtype), 0), np.ascontiguousarray(value).tobytes()


def _packed(name: str, parameter: ms.Parameter, grids: dict[int, tuple[str, int, np.ndarray]]) -> tuple[_Entry, bytes]:
    where, bits, scale = grids[id(parameter)]
    weight = parameter.asnumpy()
    rows = scale.reshape(-1, *(1,) * (weight.ndim - 1))
    numbers = nearest(weight / np.where(rows > 0, rows, 1), bits)
    if not np.array_equal(_weights(numbers, bits, scale), weight):
        raise CheckpointError(f"the weights of {where!r} are not on the grid of {bits} bits any more: they have been "
                              "changed since convert(). Train the network that apply() returned, and convert it again.")
    data = scale.astype(np.float32).tobytes() + pack(numbers, bits)
    return _Entry(name, weight.shape, str(weight.dtype), bits), data


def _weights(numbers: np.ndarray, bits: int, scale: np.ndarray) -> np.ndarray:
    return candidates(bits).astype(scale.dtype)[numbers] * scale.reshape(-1, *(1,) * (numbers.ndim - 1))


def load_quantized(constructor: Callable[[], nn.Cell], path: str | os.PathLike) -> nn.Cell:
    """Rebuild a network with low-bit weights from its constructor and the file of :func:`save_quantized`.

    Args:
        constructor: builds the float network that SLB was applied to; its weights do not matter.
        path: the file.

    Returns:
        The network as ``convert`` returned it, without mixed precision, where that was on.

    Raises:
        TypeError: ``constructor`` cannot be called without arguments or does not return a Cell, or ``path`` is no path.
        ValueError: ``path`` is empty or a folder.
        CheckpointError: the file cannot be read, is damaged, or belongs to another network.
    """
    check_constructor("load_quantized", constructor, "float")
    path = checked_path("load_quantized()", "path", path)
    header, data = container.read(path)
    net = copy_network(built_by(constructor))
    own = parameters_by_name(net)
    entries = _entries(header, path)
    _check_fit(entries, {name: tuple(p.shape) for name, p in own.items()}, len(data), path)
    layers = _layers(header, net, entries, path)
    scales: dict[str, tuple[int, np.ndarray]] = {}
    start = 0
    for entry in entries:
        _set(own[entry.name], entry, data[start:start + entry.size], scales)
        start += entry.size
    for where, found in layers.items():
        cell: Any = get_cell(net, where)
        vars(cell)[GRID] = Grid(*scales[found["weight"]])
        if "input" in found:
            round_input(cell, FixedRounding(*found["input"]))
            set_form(cell, "rounded")
    forget_compilation(net)
    return net


def _entries(header: Any, path: str | os.PathLike) -> list[_Entry]:
    """The entries, once every field is what it must be."""
    listed = header.get("entries") if isinstance(header, dict) else None
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise CheckpointError(f"{path} lists no parameters.")
    found = []
    for one in listed:
        shape = one.get("shape")
        if (set(one) != {"name", "shape", "dtype", "bits"} or not isinstance(one["name"], str)
                or one["dtype"] not in _TYPES or one["bits"] not in (0, *BITS)
                or not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape)
                or (one["bits"] and (not shape or not one["dtype"].startswith("float")))):
            raise CheckpointError(f"{path} describes a parameter that cannot be: {str(one)[:200]}.")
        found.append(_Entry(one["name"], tuple(shape), one["dtype"], one["bits"]))
    return found


def _check_fit(entries: list[_Entry], own: dict[str, tuple[int, ...]], size: int, path: str | os.PathLike) -> None:
    """Names, shapes and sizes, before anything is allocated."""
    given = [entry.name for entry in entries]
    if len(set(given)) != len(given) or set(given) != set(own):
        strange = next(iter(set(own) ^ set(given)), given[0] if given else "")
        raise CheckpointError(f"{path} and the network do not have the same parameters ({strange!r}); it belongs to "
                              "another network.")
    for entry in entries:
        if entry.shape != own[entry.name]:
            raise CheckpointError(f"{path} has shape {entry.shape} for {entry.name!r}, but the network has "
                                  f"{own[entry.name]}; it belongs to another network.")
    wanted = sum(entry.size for entry in entries)
    if wanted != size:
        raise CheckpointError(f"{path} holds {size} bytes of numbers, but its parameters take {wanted}.")


def _layers(header: Any, net: nn.Cell, entries: list[_Entry], path: str | os.PathLike) -> dict[str, dict[str, Any]]:
    """The layers, once they are known to be there and to be what the file says."""
    found, packed = header.get("layers"), {entry.name for entry in entries if entry.bits}
    cells, own = dict(net.cells_and_names()), parameters_by_name(net)
    named = [one.get("weight") if isinstance(one, dict) else None for one in found.values()] if isinstance(
        found, dict) else [None]
    if not all(isinstance(name, str) for name in named) or set(named) != packed:
        raise CheckpointError(f"{path} does not say which layers its low-bit weights belong to.")
    for where, one in found.items():
        bounds = one.get("input", [-1.0, 1.0, 255])
        right = (isinstance(bounds, list) and len(bounds) == 3 and type(bounds[2]) is int and bounds[2] > 0
                 and all(isinstance(n, (int, float)) and math.isfinite(n) for n in bounds))
        cell = cells.get(where)
        fits = cell is not None and getattr(cell, "weight", None) is own[one["weight"]]
        if not fits or not right or ("input" in one and operator_of(cell) is None):
            raise CheckpointError(f"{path} describes a layer {where!r} that the network does not have; it belongs to "
                                  "another network.")
    return found


def _set(parameter: ms.Parameter, entry: _Entry, data: memoryview, scales: dict[str, tuple[int, np.ndarray]]) -> None:
    if not entry.bits:
        value = np.array(np.frombuffer(data, entry.dtype)).reshape(entry.shape)  # a copy is aligned, as MindSpore wants
    else:
        scale = np.frombuffer(data[:4 * entry.shape[0]], np.float32).astype(entry.dtype)
        numbers = unpack(data[4 * entry.shape[0]:], math.prod(entry.shape), entry.bits).reshape(entry.shape)
        value = _weights(numbers, entry.bits, scale)
        scales[entry.name] = entry.bits, scale
    parameter.set_data(ms.Tensor(value, parameter.dtype))
