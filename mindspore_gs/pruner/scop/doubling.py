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
        knockoffs, missing = count, 0
        if self.knockoff_generator is not None:
            made = self.knockoff_generator(*inputs)
            made = made if isinstance(made, tuple) else (made,)
        else:
            knockoffs = -(-count // self.knockoff_reuse)
            missing = knockoffs * self.knockoff_reuse - count
            made = _taken(inputs, ops.argsort(ops.standard_normal((count,)))[:knockoffs], count)
        both = ()
        for value, knockoff in zip(inputs, made):
            both = both + (_append(value, knockoff, count, missing),)
        return _first(super(Doubling, self).construct(*both), count, count + missing + knockoffs)


def _is_batch(value, count):
    return isinstance(value, Tensor) and value.ndim > 0 and value.shape[0] == count


def _taken(inputs, places, count):
    """These samples of each input that is a batch."""
    taken = ()
    for value in inputs:
        taken = taken + (ops.gather(value, places, 0) if _is_batch(value, count) else value,)
    return taken


def _append(value, knockoff, count, missing):
    """The samples, the first one again as often as one is missing, and the knockoffs."""
    if not _is_batch(value, count):
        return value
    parts = (value, ops.stop_gradient(knockoff))
    if missing > 0:
        parts = (value, ops.tile(value[:1], (missing,) + (1,) * (value.ndim - 1)), ops.stop_gradient(knockoff))
    return ops.concat(parts, 0)


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
