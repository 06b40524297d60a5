"""Append knockoffs to the batch, inside the network. Graph mode compiles this file, so it has no annotations."""

from mindspore import Tensor, ops


class Doubling:
    """Mixed into the class of a knockoff network: appends the knockoffs to the batch in training mode.

    ``knockoff_generator`` makes a knockoff of each sample, or is None: then the knockoffs are other samples of the
    batch, chosen anew at each step, and each of them serves ``knockoff_reuse`` real samples.
    """

    def construct(self, *inputs):
        """Real samples, then their knockoffs; the outputs of the real samples are returned."""
        if not self.training:
            return super(Doubling, self).construct(*inputs)
        count = inputs[0].shape[0]
        knockoffs, real = count, inputs
        if self.knockoff_generator is not None:
            made = self.knockoff_generator(*inputs)
            made = made if isinstance(made, tuple) else (made,)
        else:
            knockoffs = -(-count // self.knockoff_reuse)
            made = _taken(inputs, ops.argsort(ops.standard_normal((count,)))[:knockoffs], count)
            if count % self.knockoff_reuse != 0:
                real = _taken(inputs, ops.arange(knockoffs * self.knockoff_reuse) % count, count)
        both = ()
        for value, first, second in zip(inputs, real, made):
            both = both + (_append(value, first, second, count),)
        total = knockoffs * (self.knockoff_reuse + 1)
        return _first(super(Doubling, self).construct(*both), count, total)


def _is_batch(value, count):
    return isinstance(value, Tensor) and value.ndim > 0 and value.shape[0] == count


def _taken(inputs, places, count):
    """These samples of each input that is a batch."""
    taken = ()
    for value in inputs:
        taken = taken + (ops.gather(value, places, 0) if _is_batch(value, count) else value,)
    return taken


def _append(value, real, knockoff, count):
    if _is_batch(value, count):
        return ops.concat((real, ops.stop_gradient(knockoff)), 0)
    return value


def _first(output, count, total):
    """The outputs of the samples that came in."""
    if isinstance(output, (tuple, list)):
        parts = ()
        for item in output:
            parts = parts + (_first(item, count, total),)
        return parts
    if _is_batch(output, total):
        return output[:count]
    return output
