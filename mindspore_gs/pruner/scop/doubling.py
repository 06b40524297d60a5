"""Append knockoffs to the batch, inside the network. Graph mode compiles this file, so it has no annotations."""

from mindspore import Tensor, ops


class Doubling:
    """Mixed into the class of a knockoff network: appends the knockoffs to the batch in training mode."""

    def construct(self, *inputs):
        """Real samples, then their knockoffs; the outputs of the real samples are returned."""
        if not self.training:
            return super(Doubling, self).construct(*inputs)
        count = _batch_of(inputs)
        knockoffs = self._knockoffs(inputs, count)
        doubled = ()
        for real, knockoff in zip(inputs, knockoffs):
            doubled = doubled + (_append(real, knockoff, count),)
        return _first_half(super(Doubling, self).construct(*doubled), count)

    def _knockoffs(self, inputs, count):
        if self.knockoff_generator is not None:
            made = self.knockoff_generator(*inputs)
            return made if isinstance(made, tuple) else (made,)
        order = ops.argsort(ops.standard_normal((count,)))
        permuted = ()
        for value in inputs:
            permuted = permuted + (_permute(value, order, count),)
        return permuted


def _batch_of(inputs):
    return inputs[0].shape[0]


def _is_batch(value, count):
    return isinstance(value, Tensor) and value.ndim > 0 and value.shape[0] == count


def _permute(value, order, count):
    if _is_batch(value, count):
        return ops.gather(value, order, 0)
    return value


def _append(real, knockoff, count):
    if _is_batch(real, count):
        return ops.concat((real, ops.stop_gradient(knockoff)), 0)
    return real


def _first_half(output, count):
    if isinstance(output, (tuple, list)):
        parts = ()
        for item in output:
            parts = parts + (_first_half(item, count),)
        return parts
    if _is_batch(output, 2 * count):
        return output[:count]
    return output
