"""What the Gathers of residual="keep" take: a network of nothing else, on tensors of the same shapes."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindspore_gs._cells import evaluating
from mindspore_gs.slim import RestoreChannels


class Gathers:
    """The Gathers that are left of a slim network's RestoreChannels in an exported file.

    Attributes:
        number: how many there are.

    Args:
        net: the slim network.
        shape: of its input.
    """

    def __init__(self, net: nn.Cell, shape: tuple[int, ...]) -> None:
        self._cell = _Alone(_inputs(net, shape))
        self.number = len(self._cell.values)

    def run(self) -> None:
        """Run all of them once, in Graph mode."""
        self._cell()[0].asnumpy()


def _inputs(net: nn.Cell, shape: tuple[int, ...]) -> list[tuple[RestoreChannels, tuple[int, ...]]]:
    """Each RestoreChannels with the shape of its input."""
    found: list[tuple[RestoreChannels, tuple[int, ...]]] = []
    hooks = [cell.register_forward_pre_hook(lambda cell, inputs: found.append((cell, tuple(inputs[0].shape))))
             for _, cell in net.cells_and_names() if isinstance(cell, RestoreChannels)]
    mode = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        with evaluating(net):
            net(ms.ops.zeros(shape, ms.float32)).asnumpy()
    finally:
        for hook in hooks:
            hook.remove()
        ms.set_context(mode=mode)
    return found


class _Alone(nn.Cell):
    """One Gather for each; the tensors are parameters, which nothing computes in advance."""

    def __init__(self, restores: list[tuple[RestoreChannels, tuple[int, ...]]]) -> None:
        super().__init__()
        self.values = ms.ParameterTuple([
            ms.Parameter(ms.Tensor(np.ones((n, kept + 1, height, width), np.float32)), name=f"value{k}")
            for k, (_, (n, kept, height, width)) in enumerate(restores)])
        self.places = [cell.source for cell, _ in restores]

    def construct(self) -> tuple[ms.Tensor, ...]:
        """All outputs at full width."""
        outputs = ()
        for value, place in zip(self.values, self.places):
            outputs = outputs + (ops.gather(value, place, 1),)
        return outputs
