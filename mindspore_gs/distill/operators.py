"""Operators of the traced graph as cells: those without parameters, made again from their name and attributes."""

import inspect
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindspore_gs.errors import PruningError
from mindspore_gs.graph.ir import Node

ACTIVATIONS = ("ReLU", "ReLU6", "Sigmoid", "Tanh", "HSwish", "HSigmoid", "Elu", "SiLU", "Mish", "Softplus", "GeLU")
KNOWN = (*ACTIVATIONS, "Add", "Sub", "Mul", "MaxPool", "AvgPool", "ReduceMean", "ReduceSum", "ReduceMax", "Pad",
         "PadV3", "StridedSlice", "Reshape", "Transpose", "AddExt", "Concat")
_BATCH_FIRST = {"Reshape": 0, "StridedSlice": 1}  # of the constants, the one that begins with the size of the batch
_PAD_MODES = {0: "pad", 1: "same", 2: "valid"}


class Operator(nn.Cell):
    """One operator of MindSpore with its constant arguments.

    Args:
        operator: the primitive.
        front: constants before the tensors.
        back: constants behind them.
        batch: which of ``back`` is a shape that begins with the size of the batch, or -1.
    """

    def __init__(self, operator: ops.Primitive, front: tuple[Any, ...] = (), back: tuple[Any, ...] = (),
                 batch: int = -1):
        super().__init__(auto_prefix=False)
        self.operator, self.front, self.back, self.batch = operator, front, back, batch

    def construct(self, *values: ms.Tensor) -> ms.Tensor:
        """What the operator computes."""
        if self.batch < 0:
            return self.operator(*self.front, *values, *self.back)
        shape = (values[0].shape[0],) + self.back[self.batch][1:]
        return self.operator(*values, *self.back[:self.batch], shape, *self.back[self.batch + 1:])


class Joined(nn.Cell):
    """Concatenation, which takes a tuple."""

    def __init__(self, axis: int):
        super().__init__(auto_prefix=False)
        self.axis = axis

    def construct(self, *values: ms.Tensor) -> ms.Tensor:
        """All values along the axis."""
        return ops.concat(values, self.axis)


def operator_cell(node: Node, constants: dict[int, Any], batch: int) -> nn.Cell:
    """A cell that computes what a node without parameters does.

    Args:
        node: the operator.
        constants: its constant inputs by position.
        batch: size of the batch that the network was traced with.

    Raises:
        PruningError: there is no way to make the operator.
    """
    if node.op not in KNOWN:
        raise PruningError(f"operator {node.op} in {node.scope} is none of those that a network without shortcuts can "
                           f"be written with: {', '.join(KNOWN)}, convolutions, dense layers and BatchNorms. Use one "
                           "of them instead.")
    kind = getattr(ops, node.op) if hasattr(ops, node.op) else getattr(ops.auto_generate, node.op)
    count = len(node.inputs)
    taken = len(inspect.signature(kind.__call__).parameters) - 1
    generated = "args" not in inspect.signature(kind.__call__).parameters
    called = min(taken, count) if generated else count
    accepted = inspect.signature(kind.__init__).parameters
    names = list(accepted)[1:]
    options = {name: _plain(name, node.attrs[name]) for name in names if name in node.attrs}
    options |= {name: _plain(name, constants[called + k]) for k, name in enumerate(names)
                if called + k < count and called + k in constants}
    tensors = [k for k in range(called) if k not in constants]
    if not tensors or tensors != list(range(tensors[0], tensors[-1] + 1)):
        raise PruningError(f"{node} has constants between its tensors, which is not expected of {node.op}.")
    front = tuple(_argument(constants[k]) for k in range(tensors[0]))
    back = tuple(_argument(constants[k]) for k in range(tensors[-1] + 1, called))
    place = _BATCH_FIRST.get(node.op, -1)
    if place >= 0 and not (len(back) > place and isinstance(back[place], tuple) and back[place][0] == batch):
        place = -1
    return Operator(kind(**options), front, back, place)


def _argument(value: Any) -> Any:
    return ms.Tensor(value) if isinstance(value, np.ndarray) else value


def _plain(name: str, value: Any) -> Any:
    if name == "pad_mode":
        value = _PAD_MODES.get(value, value)
        return value.lower() if isinstance(value, str) else value
    if name in ("kernel_size", "strides") and isinstance(value, tuple) and len(value) == 4:
        return value[2:]
    if name == "data_format":
        return "NCHW" if value in (0, "NCHW") else value
    return value
