"""Kernels that contain the identity, for networks that have no shortcuts."""

from collections.abc import Iterable

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import get_cell
from mindspore_gs._mixin import has, mix_in, take_out


class Dirac(nn.Cell):
    r"""Mixed into a convolution: its kernel is :math:`\alpha I + \beta W`.

    :math:`I` passes each channel on unchanged. :math:`\alpha`, at first 1, and :math:`\beta`, at first 0.1, are
    trained. Source: Zagoruyko, Komodakis, DiracNets: Training Very Deep Neural Networks Without Skip-Connections, 2017.
    """

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        """The convolution with the kernel that contains the identity."""
        kernel = self.dirac_beta_identity * self._gs_identity + self.dirac_beta * self.weight
        y = self.conv2d(x, kernel)
        if self.has_bias:
            y = self.bias_add(y, self.bias)
        return y


def add_identity(net: nn.Cell, paths: Iterable[str]) -> None:
    r"""Mix :class:`Dirac` into those convolutions that can pass every channel on, and leave the others.

    Args:
        net: the network, changed in place. Each convolution gets two parameters, ``dirac_beta_identity``
            (:math:`\alpha`) and ``dirac_beta``. MindSpore's optimizers leave names with "beta" out of the decay.
        paths: the layers to look at.
    """
    for path in paths:
        cell = get_cell(net, path)
        if type(cell) is nn.Conv2d and _passes(cell):
            identity = np.zeros(cell.weight.shape, np.float32)
            middle = [size // 2 for size in cell.kernel_size]
            identity[np.arange(cell.out_channels), np.arange(cell.in_channels), middle[0], middle[1]] = 1
            prefix = cell.weight.name.removesuffix("weight")
            cell.dirac_beta_identity = ms.Parameter(ms.Tensor([1.0], cell.weight.dtype), prefix + "dirac_beta_identity")
            cell.dirac_beta = ms.Parameter(ms.Tensor([0.1], cell.weight.dtype), prefix + "dirac_beta")
            cell._gs_identity = ms.Tensor(identity, cell.weight.dtype)
            mix_in(cell, Dirac)


def settle(net: nn.Cell) -> nn.Cell:
    """Write the kernels into the weights, and make the convolutions plain again; ``net`` is returned."""
    for _, cell in net.cells_and_names():
        if has(cell, Dirac):
            kernel = (cell.dirac_beta_identity * cell._gs_identity + cell.dirac_beta * cell.weight).asnumpy()
            take_out(cell, Dirac)
            cell.weight.set_data(ms.Tensor(kernel, cell.weight.dtype))
            del cell.dirac_beta_identity, cell.dirac_beta, cell._gs_identity
    return net


def _passes(cell: nn.Conv2d) -> bool:
    """Whether what comes out has the shape of what comes in, and kernels have a middle."""
    odd = all(size % 2 for size in cell.kernel_size)
    return odd and set(cell.stride) == {1} and cell.in_channels == cell.out_channels and cell.group == 1
