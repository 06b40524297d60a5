"""Compares the layers of an ONNX file, where the network's outputs prove nothing because one rounding changes them.

Such outputs are ranked: the best boxes of a detector, the likeliest words.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import in_mode
from mindspore_gs._mixin import is_mindspores
from mindspore_gs.export.sessions import fed, open_session
from mindspore_gs.slim.blame import calls_of
from mindspore_gs.slim.check import FACTOR, LIMIT, Verdict
from mindspore_gs.slim.difference import relative_difference

Arrays = dict[str, list[np.ndarray]]


def layers_agree(net: nn.Cell, path: Path, inputs: tuple[ms.Tensor, ...], verdict: Verdict) -> bool:
    """Whether each of MindSpore's layers with parameters has its output in the file, at each of its calls.

    Args:
        net: the network that the file was written from as it is, in evaluation mode.
        path: the file.
        inputs: what both are run on.
        verdict: that of the outputs; says what rounding does to the network.
    """
    expected = _outputs(net, inputs)
    moved = [(_outputs(twin, values), steps) for twin, values, steps in verdict.rounded]
    found = _values(net, path, inputs, expected)

    def allowed(layer: str, call: int) -> float:
        movement = max((relative_difference(other[layer][call], expected[layer][call]) / steps
                        for other, steps in moved), default=0.0)
        return max(verdict.tolerance, min(FACTOR * movement, LIMIT))

    return bool(expected) and all(
        any(value.size == output.size
            and relative_difference(value.reshape(output.shape), output) <= allowed(layer, call)
            for value in found[layer])
        for layer, outputs in expected.items() for call, output in enumerate(outputs))


def _layers(net: nn.Cell) -> Iterator[tuple[str, nn.Cell]]:
    """MindSpore's cells that hold parameters."""
    for path, cell in net.cells_and_names():
        if is_mindspores(cell) and list(cell.get_parameters(expand=False)):
            yield path, cell


def _outputs(net: nn.Cell, inputs: tuple[ms.Tensor, ...]) -> Arrays:
    """What each layer returns, at each of its calls."""
    layers = dict(_layers(net))
    with in_mode(ms.PYNATIVE_MODE):
        found = {path: [output.asnumpy() for output in outputs if isinstance(output, ms.Tensor)]
                 for (path, _), outputs in calls_of(net, inputs).items() if path in layers}
    return {path: outputs for path, outputs in found.items() if outputs}


def _values(net: nn.Cell, path: Path, inputs: tuple[ms.Tensor, ...], asked: Arrays) -> Arrays:
    """What the file computes with the parameters of each layer that is asked for."""
    import onnx

    model = onnx.load(path)
    readers = {layer: _readers(model, {p.name for p in cell.get_parameters(expand=False)})
               for layer, cell in _layers(net) if layer in asked}
    names = list(dict.fromkeys(name for found in readers.values() for name in found))
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    session = open_session(model.SerializeToString())
    values = dict(zip(names, session.run(names, fed(session, inputs))))
    return {layer: [values[name] for name in found] for layer, found in readers.items()}


def _readers(model: Any, parameters: set[str]) -> list[str]:
    """The values that operators compute from data and these parameters, such as a product, and its sum with a bias."""
    constant = {value.name for value in model.graph.initializer}
    own, found = set(parameters), []
    for node in model.graph.node:
        if all(name in constant for name in node.input):
            constant.update(node.output)
            own.update(node.output if own & set(node.input) else ())
        elif own & set(node.input):
            found += node.output[:1]
    return found
