"""Append knockoffs to the batch, inside the network. Graph mode compiles this file, so it has no annotations."""

import logging

import mindspore as ms
from mindspore import Tensor, ops

KNOCKOFF_ATTRIBUTES = ("knockoff_generator", "knockoff_reuse", "knockoff_axis", "knockoff_cuts", "knockoff_shapes",
                       "knockoff_calls", "knockoff_named", "knockoff_eagerly")
WATCHED_CALLS = 10  # several forward passes may make one step
NAMED_TUPLES = ("This network returns a named tuple in training mode, through which MindSpore's Graph mode passes no "
                "gradients (all of them are 0), so the knockoff scales would learn nothing. Return a tuple or a dict "
                "instead, or train in PyNative mode.")
_log = logging.getLogger("mindspore_gs")


class Doubling:
    """Mixed into the class of a knockoff network: appends the knockoffs to the batch in training mode.

    ``knockoff_generator`` makes a knockoff of each sample, or is None: then the knockoffs are other samples of the
    batch, chosen anew at each step, and each of them serves ``knockoff_reuse`` real samples. ``knockoff_axis`` is the
    axis of the inputs along which the samples lie, ``knockoff_cuts`` says how they lie in the outputs, and
    ``knockoff_shapes`` for which inputs the layers know how they lie in theirs (None: for all). ``knockoff_named`` says
    whether it returns named tuples, which only PyNative mode can train.
    """

    def __call__(self, *inputs, **options):
        """As ever; in a loop of the user's own it says once if nothing is learned. Graph mode calls ``construct``."""
        if self.training and self.knockoff_calls < WATCHED_CALLS:
            self.knockoff_calls += 1
            if self.knockoff_calls == WATCHED_CALLS:
                _warn_if_at_start(self)
        self.__dict__["knockoff_eagerly"] = ms.get_context("mode") == ms.PYNATIVE_MODE
        try:
            return super().__call__(*inputs, **options)
        finally:
            self.__dict__["knockoff_eagerly"] = False

    def construct(self, *inputs, **options):
        """Real samples, then their knockoffs; the outputs of the real samples are returned."""
        if not self.training:
            return self.knockoff_plain(*inputs, **options)
        if self.knockoff_named and not self.knockoff_eagerly:
            raise ValueError(NAMED_TUPLES)
        axis = self.knockoff_axis
        count = _count((inputs, options), axis)
        if count == 0:
            raise ValueError("A knockoff network in training mode needs a tensor as input, but got none; "
                             "call set_train(False) first, or give it the batch as a tensor.")
        if self.knockoff_shapes is not None:
            _check_shapes(inputs, self.knockoff_shapes, axis)
        knockoffs, missing, made, places = count, 0, (), None
        if self.knockoff_generator is None:
            knockoffs = -(-count // self.knockoff_reuse)
            missing = knockoffs * self.knockoff_reuse - count
            places = _places(count, knockoffs)
        else:
            made = self.knockoff_generator(*inputs, **options)
            made = made if isinstance(made, (tuple, list)) else (made,)
        sizes = (count, missing, axis, knockoffs)
        both = ()
        for index, value in enumerate(inputs):
            both = both + (_both(value, made[index] if index < len(made) else value, places, sizes),)
        named = {}
        for key in options:
            named[key] = _both(options[key], options[key], places, sizes)
        return _real(self.knockoff_plain(*both, **named), self.knockoff_cuts, count, count + missing + knockoffs)

    def knockoff_plain(self, *inputs, **options):
        """What the network itself computes."""
        return super(Doubling, self).construct(*inputs, **options)


def _warn_if_at_start(net):
    """Whether the scales are all where the phase began."""
    scales = [p.asnumpy() for p in net.get_parameters() if p.name.endswith("kfscale")]
    if all((scale == 0.5).all() for scale in scales):
        _log.warning("no knockoff scale has moved in %d forward passes in training mode. Make the optimizer after "
                     "kf.apply, from net.trainable_params(); one that is older trains nothing, or the frozen weights.",
                     WATCHED_CALLS - 1)


def _count(value, axis):
    """The number of samples: that of the first tensor; 0 where there is none."""
    if isinstance(value, Tensor):
        return value.shape[axis] if value.ndim > axis else 0
    count = 0
    if isinstance(value, (tuple, list)):
        for item in value:
            if count == 0:
                count = _count(item, axis)
    if isinstance(value, dict):
        for key in value:
            if count == 0:
                count = _count(value[key], axis)
    return count


def _check_shapes(inputs, shapes, axis):
    """Where the batch is repeated inside the network, how often may depend on the sizes of the inputs."""
    for value, shape in zip(inputs, shapes):
        if isinstance(value, Tensor) and value.ndim > axis and value.shape[:axis] + value.shape[axis + 1:] != shape:
            raise ValueError("This network repeats its batch inside (frames or views in front of the samples), so its "
                             "knockoff network takes inputs of the sizes that it was applied with only, but got "
                             "others; give PrunerKfCompressAlgo the 'input_shape' that you train with.")


def _places(count, knockoffs):
    """Which samples are the knockoffs. Knockoff k serves the samples k, k + knockoffs, ...: it is none of them.

    A single knockoff serves all; it is the mean of two, for one of them would not be mixed with anything but itself.
    """
    if knockoffs == 1:
        return ops.argsort(ops.standard_normal((count,)))[:2]
    order = ops.argsort(ops.standard_normal((knockoffs,)))
    following = ops.concat((order, order), 0)[1:knockoffs + 1]
    column = ops.gather(following, ops.argsort(order.astype("float32")), 0)
    row = ops.argsort(ops.standard_normal((knockoffs, count // knockoffs)), 1)[:, 0]
    return row * knockoffs + column


def _both(value, made, places, sizes):
    """Each tensor of a nested value that is a batch, with its knockoffs: as they are made, or these samples."""
    if isinstance(value, Tensor):
        return _appended(value, made, places, sizes)
    if isinstance(value, (tuple, list)):
        parts = ()
        for index, item in enumerate(value):
            parts = parts + (_both(item, made[index], places, sizes),)
        return list(parts) if isinstance(value, list) else parts
    if isinstance(value, dict):
        named = {}
        for key in value:
            named[key] = _both(value[key], made[key], places, sizes)
        return named
    return value


def _appended(value, made, places, sizes):
    """The samples, the first one again as often as one is missing, and the knockoffs."""
    count, missing, axis, knockoffs = sizes
    if value.ndim <= axis or value.shape[axis] != count:
        return value
    knockoff = made if places is None else ops.gather(value, places, axis)
    if knockoff.shape[axis] > knockoffs:
        mean = knockoff.mean(axis, True) if knockoff.is_floating_point() else knockoff
        knockoff = _front(mean, axis, 1)
    knockoff = ops.stop_gradient(knockoff)
    if missing == 0:
        return ops.concat((value, knockoff), axis)
    first = _front(value, axis, 1)
    filled = ops.tile(first, (1,) * axis + (missing,) + (1,) * (value.ndim - axis - 1))
    return ops.concat((value, filled, knockoff), axis)


def _real(output, cuts, count, total):
    """The outputs of the samples that came in."""
    if isinstance(output, Tensor):
        return _cut(output, cuts, count, total)
    if isinstance(output, (tuple, list)):
        parts = ()
        for index, item in enumerate(output):
            parts = parts + (_real(item, None if cuts is None else cuts[index], count, total),)
        if hasattr(output, "_fields"):
            return type(output)(*parts)
        return list(parts) if isinstance(output, list) else parts
    if isinstance(output, dict):
        named = {}
        for key in output:
            named[key] = _real(output[key], None if cuts is None else cuts[key], count, total)
        return named
    return output


def _cut(output, cuts, count, total):
    """Without the filling and the knockoffs, along each axis that holds samples; see ``batch.Cut``."""
    if cuts is None:
        return output[:count] if output.ndim > 0 and output.shape[0] == total else output
    for axis, outer in cuts:
        length = output.shape[axis] // total
        if outer == 1:
            output = _front(output, axis, length * count)
        else:
            blocks = outer if outer > 0 else length
            shape = output.shape
            apart = output.reshape(shape[:axis] + (blocks, -1) + shape[axis + 1:])
            apart = _front(apart, axis + 1, apart.shape[axis + 1] // total * count)
            output = apart.reshape(shape[:axis] + (-1,) + shape[axis + 1:])
    return output


def _front(value, axis, size):
    """The first entries along an axis. A slice where it can be one: it takes sizes that are not known yet."""
    return value[:size] if axis == 0 else ops.narrow(value, axis, 0, size)
