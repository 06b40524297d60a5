"""What a penalty does to gradients and weights in a training step. Graph mode compiles this file.

A penalty sees a channel as one vector: everything of the parameters that belongs to it, from all layers of its group.
Its gradient is a factor times that vector. So is its proximal step, with a factor of its own.
"""

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindspore_gs._precision import OwnPrecision


class Penalty(OwnPrecision, nn.Cell):
    """A penalty on channels, for the parameters of one optimizer at a time.

    Args:
        entries: where the channels lie.
        proximal: whether it acts after the optimizer's step and not on its gradients.
    """

    def __init__(self, entries, proximal):
        super().__init__(auto_prefix=False)
        self.proximal, self.total = proximal, entries.count + 1
        self.names = tuple(entries.axes)

    def bind(self, entries, places, shapes):
        """Say where the parameters are.

        Args:
            entries: where the channels lie.
            places: position of each parameter in the optimizer, by name.
            shapes: the shape of each.
        """
        padded = [np.pad(owners, (0, shapes[name][axis] - len(owners)), constant_values=entries.count)
                  for (name, axis), owners in entries.axes.items()]
        self.owners = tuple(ms.Tensor(owners.astype(np.int32)) for owners in padded)
        self.all_owners = ms.Tensor(np.concatenate(padded).astype(np.int32))
        self.places = tuple(places[name] for name, _ in entries.axes)
        self.rest = tuple(tuple(k for k in range(len(shapes[name])) if k != axis) for name, axis in entries.axes)
        self.spread = tuple(tuple(-1 if k == axis else 1 for k in range(len(shapes[name])))
                            for name, axis in entries.axes)
        self.keys = tuple(tuple(key for key, place in enumerate(self.places) if place == k)
                          for k in range(max(self.places) + 1))

    def norms(self, weights):
        """Euclidean norm of each channel, shape (channels + 1,); the last one is of what belongs to none."""
        squares = ()
        for key in range(len(self.places)):
            square = ops.square(weights[self.places[key]].astype(ms.float32))
            if len(self.rest[key]) > 0:
                square = square.sum(self.rest[key])
            squares = squares + (square,)
        return ops.sqrt(ops.unsorted_segment_sum(ops.concat(squares), self.all_owners, self.total))

    def add(self, weights, gradients, scale):
        """The gradients with those of the penalty, which are multiplied by ``scale``, the optimizer's loss scale."""
        factors, found = scale * self.factors(weights), ()
        for k in range(len(gradients)):
            gradient = gradients[k]
            if k < len(self.keys):
                for key in self.keys[k]:
                    more = self._of(factors, key) * weights[k].astype(ms.float32)
                    gradient = gradient + more.astype(gradient.dtype)
            found = found + (gradient,)
        return found

    def shrink(self, weights, rates, several):
        """The proximal step. ``rates``: the learning rate, or where there are ``several``, that of each parameter."""
        factors = self.factors(weights)
        for key in range(len(self.places)):
            place = self.places[key]
            rate = (rates[place] if several else rates).astype(ms.float32)
            small = self.kept(rate * self._of(factors, key)) * weights[place].astype(ms.float32)
            ops.assign(weights[place], small.astype(weights[place].dtype))

    def _of(self, factors, key):
        return ops.gather(factors, self.owners[key], 0).reshape(self.spread[key])

    def factors(self, weights):
        """Shape (channels + 1,): what the gradient is as a multiple of the channel. The last one is 0."""
        raise NotImplementedError

    def kept(self, product):
        """What the proximal step leaves of a channel, from the product of learning rate and factor."""
        raise NotImplementedError

    def count(self):
        """A step is over."""


class NormPenalty(Penalty):
    r"""The sum of :math:`\lambda_j \|w_j\|`.

    Its gradient is :math:`\lambda_j w_j / \|w_j\|`, and 0 for a channel that is zero. Its proximal step is
    :math:`w_j \max(0, 1 - \eta \lambda_j / \|w_j\|)` with the learning rate :math:`\eta`.

    Args:
        entries: where the channels lie.
        proximal: which of the two.
        strengths: :math:`\lambda_j` of each channel.
    """

    def __init__(self, entries, proximal, strengths):
        super().__init__(entries, proximal)
        self.strengths = ms.Tensor(np.append(strengths, 0).astype(np.float32))

    def factors(self, weights):
        """Strength over norm."""
        norms = self.norms(weights)
        there = norms > 0
        return ops.where(there, self.strengths / ops.where(there, norms, ops.ones_like(norms)), ops.zeros_like(norms))

    def kept(self, product):
        """Soft thresholding."""
        return ops.maximum(1 - product, ops.zeros_like(product))


class GrowingSquares(Penalty):
    r"""The sum of :math:`\lambda(t) \|w_j\|^2 / 2` over chosen channels, where :math:`\lambda` grows.

    Its gradient is :math:`\lambda w_j`, and its proximal step :math:`w_j / (1 + \eta \lambda)`. The steps are counted
    in the compiled step, so the penalty grows whoever calls it, in sink mode too.

    Args:
        entries: where the channels lie.
        proximal: which of the two.
        chosen: 1 for each channel that is to go, else 0.
        growth: by how much :math:`\lambda` grows.
        every: after how many steps.
        ceiling: where it stops.
    """

    def __init__(self, entries, proximal, chosen, growth, every, ceiling):
        super().__init__(entries, proximal)
        self.growth, self.every, self.ceiling = growth, every, ceiling
        self.step = ms.Parameter(ms.Tensor(0, ms.int32), name="growing_step", requires_grad=False)
        self.chosen = ms.Parameter(ms.Tensor(np.append(chosen, 0).astype(np.float32)), name="growing_chosen",
                                   requires_grad=False)

    def strength(self):
        """Lambda at the present step."""
        times = (self.step // self.every + 1).astype(ms.float32)
        return ops.minimum(self.growth * times, ms.Tensor(self.ceiling, ms.float32))

    def factors(self, weights):
        """Lambda where chosen."""
        return self.strength() * self.chosen

    def kept(self, product):
        """Shrinks the more the stronger."""
        return 1 / (1 + product)

    def count(self):
        """One step more."""
        ops.assign_add(self.step, ms.Tensor(1, ms.int32))
