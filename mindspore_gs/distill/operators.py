"""Operators of the traced graph as cells: those without parameters, made again from their name and attributes."""

import inspect
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindspore_gs.errors import PruningError, first_line
from mindspore_gs.graph.ir import Node

ACTIVATIONS = ("ReLU", "ReLU6", "Sigmoid", "Tanh", "HSwish", "HSigmoid", "Elu", "SiLU", "Mish", "Softplus", "GeLU")
FUNCTIONAL = {"InplaceAddExt": "AddExt", "InplaceAddsExt": "Add", "InplaceSubExt": "SubExt", "InplaceSubsExt": "Sub",
              "InplaceMul": "Mul", "InplaceMuls": "Muls", "InplaceReLU": "ReLU"}  # x += y, whose result is a new value
TAKES_TUPLE = ("Concat", "AddN")
KNOWN = (*ACTIVATIONS, "Add", "AddExt", "Sub", "SubExt", "Mul", "Muls", "Div", "Divs",
         "RealDiv", "Neg", "Abs", "Square", "Maximum", "Minimum", "Softmax", "LogSoftmax", "MaxPool",
         "MaxPool3DWithArgmax", "AvgPool", "AdaptiveAvgPool2D", "ReduceMean", "ReduceSum", "ReduceMax", "MeanExt",
         "SumExt", "Pad", "PadV3", "StridedSlice", "Reshape", "Flatten", "FlattenExt", "Squeeze", "ExpandDims",
         "Transpose", *TAKES_TUPLE)
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


class Total(nn.Cell):
    """The sum of a tuple."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)

    def construct(self, *values: ms.Tensor) -> ms.Tensor:
        """The sum of all values."""
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total


class Item(nn.Cell):
    """One of several outputs of an operator."""

    def __init__(self, number: int):
        super().__init__(auto_prefix=False)
        self.number = number

    def construct(self, values: tuple[ms.Tensor, ...]) -> ms.Tensor:
        """The value at the cell's place."""
        return values[self.number]


class Filled(nn.Cell):
    """A constant that is the same for every sample, such as the zeros that widen a shortcut.

    Args:
        value: the constant, whose first axis is the batch.
    """

    def __init__(self, value: np.ndarray):
        super().__init__(auto_prefix=False)
        self.row = ms.Tensor(value[:1])

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        """The constant, for as many samples as ``x`` has."""
        return ops.tile(self.row, (x.shape[0],) + (1,) * (self.row.ndim - 1))


def operator_cell(node: Node, constants: dict[int, Any], batch: int) -> nn.Cell:
    """A cell that computes what a node without parameters does.

    Args:
        node: the operator.
        constants: its constant inputs by position.
        batch: size of the batch that the network was traced with.

    Raises:
        PruningError: there is no way to make the operator.
    """
    name = FUNCTIONAL.get(node.op, node.op)
    kind = getattr(ops, name, None) or getattr(ops.auto_generate, name, None)
    if name not in KNOWN or kind is None:
        raise PruningError(f"operator {node.op} in {node.scope} is none of those that a network without shortcuts can "
                           f"be written with: {', '.join(KNOWN)}, convolutions, dense layers and BatchNorms. Use one "
                           "of them instead.")
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
    place = _BATCH_FIRST.get(name, -1)
    if place >= 0 and not (len(back) > place and isinstance(back[place], tuple) and back[place][0] == batch):
        place = -1
    try:
        return Operator(kind(**options), front, back, place)
    except (TypeError, ValueError) as error:
        raise PruningError(f"operator {node.op} in {node.scope} cannot be made again from the trace: "
                           f"{first_line(error)}. Write it with another operator.") from error


def _argument(value: Any) -> Any:
    return ms.Tensor(value) if isinstance(value, np.ndarray) else value


def _plain(name: str, value: Any) -> Any:
    if name == "pad_mode":
        value = _PAD_MODES.get(value, value)
        return value.lower() if isinstance(value, str) else value
    if name in ("kernel_size", "strides") and isinstance(value, tuple) and len(value) == 4:
        return value[2:]
    if name == "argmax_type":
        return getattr(ms, value) if isinstance(value, str) else value
    if name == "data_format":
        return "NCHW" if value in (0, "NCHW") else value
    return value
