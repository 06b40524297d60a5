"""What is mixed into a cell's class so that some of its channels are silent. Graph mode compiles this file.

A mixin and not a wrapper, so that the cell stays the object that it was: every reference to it, its path, its
parameters' names, and whoever asks for its class go on as before.
"""

import mindspore as ms
from mindspore import Parameter, ops

from mindspore_gs.errors import PruningError
from mindspore_gs.masks.values import as_read

_cast, _rsqrt, _sum = ops.Cast(), ops.Rsqrt(), ops.ReduceSum(keep_dims=True)


class MaskedParameter(property):
    """A parameter that reads as itself times its mask, whoever reads it.

    It takes the attribute's place in the class of a cell. The parameter itself stays registered under its name, so that
    optimizers and checkpoints see the weights, not their product with the mask.

    Args:
        attribute: name of the parameter's attribute.
        masks: of each mask the name of the attribute that holds it, and how it broadcasts against the parameter. There
            are two where a layer reads a weight the one way and another layer the other way.
    """

    def __init__(self, attribute, *masks):
        raw = unmasked(attribute)

        def read(self):
            return _product(self, raw, masks)

        super().__init__(read)
        self.arguments = attribute, *masks

    def __get__(self, cell, owner=None):
        """What Python reads; Graph mode compiles ``read``."""
        value = super().__get__(cell, owner)
        return value if cell is None else as_read(value, cell.__dict__[unmasked(self.arguments[0])])

    def __reduce__(self):
        return MaskedParameter, self.arguments

    def __eq__(self, other):
        return isinstance(other, MaskedParameter) and self.arguments == other.arguments

    def __hash__(self):
        return hash(self.arguments)


class MaskedTuple(property):
    """A tuple of parameters, such as a ``ParameterTuple``, that reads as what its members read as, masked or not.

    Args:
        members: of each member its attribute, and what :class:`MaskedParameter` takes for each of its masks. The
            products are computed here: ``getattr`` of a property is a constant in Graph mode.
    """

    def __init__(self, *members):
        raw = tuple((unmasked(attribute) if masks else attribute, masks) for attribute, *masks in members)

        def read(self):
            values = ()
            for attribute, masks in raw:
                values = values + (_product(self, attribute, masks),)
            return values

        super().__init__(read)
        self.members = members

    def __get__(self, cell, owner=None):
        """What Python reads; Graph mode compiles ``read``."""
        values = super().__get__(cell, owner)
        if cell is None:
            return values
        return tuple(as_read(value, cell.__dict__[unmasked(attribute)]) if masks else value
                     for value, (attribute, *masks) in zip(values, self.members))

    def __reduce__(self):
        return MaskedTuple, self.members

    def __eq__(self, other):
        return isinstance(other, MaskedTuple) and self.members == other.members

    def __hash__(self):
        return hash(self.members)


def _product(cell, attribute, masks):
    """A parameter of a cell times its masks."""
    value = getattr(cell, attribute)
    for mask, shape in masks:
        value = cell.mask_times(value, _stays(getattr(cell, mask), value.dtype).reshape(shape))
    return value


def _stays(mask, dtype):
    """1 where a channel stays and 0 where it does not.

    All but zero stays, so that what a training loop does to every parameter of a network does no harm to a mask: an
    average over steps gives numbers such as 0.9999999, and so does the weight decay of an optimizer.
    """
    return ops.stop_gradient(_cast(_cast(mask, ms.bool_), dtype))


def unmasked(attribute):
    """Name of the attribute under which a masked parameter itself is found."""
    return f"unmasked_{attribute}"


class MaskedParameters:
    """Mixed into the class of a cell together with a :class:`MaskedParameter` for each masked attribute.

    The cell holds the operator that multiplies as ``mask_times``, see :func:`mindspore_gs._device.multiplication`.
    """

    def insert_param_to_cell(self, param_name, param, *rest, **options):
        """A parameter that takes the place of a masked one (``net.fc.weight = Parameter(...)``) is masked as well."""
        held = self.__dict__.get(unmasked(param_name))
        if held is not None and isinstance(param, Parameter) and param.shape != held.shape:
            raise PruningError(f"{held.name!r} is masked and has shape {tuple(held.shape)}, but got a parameter of "
                               f"shape {tuple(param.shape)} for its place. Put it in before apply(), or behind "
                               "convert().")
        super().insert_param_to_cell(param_name, param, *rest, **options)
        if held is not None:
            self.__dict__[unmasked(param_name)] = self._params[param_name]


class MaskedNorm:
    """Mixed into the class of one of MindSpore's BatchNorms, which holds its mask as ``channel_mask``.

    With a mask m of 0 and 1, gamma m x + beta m is (gamma x + beta) m: the same output, the same gradients, and instead
    of a multiplication of the whole feature map one of two vectors. BatchNorm's operator takes nothing but parameters
    in half precision, and other layouts than (N, C, H, W) are rare; there the output is multiplied.
    """

    fp16 = bf16 = False  # what to_float() sets on a cell

    def construct(self, x):
        """Normalise with masked gamma and beta."""
        if self.fp16 or self.bf16 or x.ndim != 4:
            out = super(MaskedNorm, self).construct(x)
            return self.mask_times(out, _stays(self.channel_mask, out.dtype).reshape((1, -1) + (1,) * (out.ndim - 2)))
        stays = _stays(self.channel_mask, self.gamma.dtype)
        gamma, beta = self.mask_times(self.gamma, stays), self.mask_times(self.beta, stays)
        if self.use_batch_statistics or (self.use_batch_statistics is None and self.training):
            return self.bn_train(x, gamma, beta, self.moving_mean, self.moving_variance)[0]
        return self.bn_infer(x, gamma, beta, self.moving_mean, self.moving_variance)[0]


class MaskedOutput:
    """Mixed in beneath a class of the user's whose ``construct`` calls that of one of MindSpore's layers.

    As in ``class ConvAct(nn.Conv2d)`` with ``return relu(super().construct(x))``. Graph mode takes a masked weight
    for a constant there, so what MindSpore's layer computes is multiplied: m (w x + b) is (m w) x + m b. The cell holds
    its mask as ``channel_mask``, and as ``mask_along_last`` whether its channels lie along the last axis, or along the
    second one.
    """

    beneath = True

    def construct(self, x):
        """What the layer computes, its masked channels zero."""
        out = super(MaskedOutput, self).construct(x)
        shape = (-1,) if self.mask_along_last else (1, -1) + (1,) * (out.ndim - 2)
        return self.mask_times(out, _stays(self.channel_mask, out.dtype).reshape(shape))


class MaskedLayerNorm:
    """Mixed into the class of an ``nn.LayerNorm``, or of a subclass that calls its operator ``layer_norm``.

    The method takes the operator's place, which is kept as ``unmasked_layer_norm``.
    """

    def layer_norm(self, x, gamma, beta):
        """Normalise over the channels that stay; the others are zero. Also returns mean and variance."""
        stays = _stays(self.channel_mask, ms.float32)
        number, values = _sum(stays, (0,)), _cast(x, ms.float32)
        mean = _sum(values * stays, (-1,)) / number
        off = (values - mean) * stays
        variance = _sum(off * off, (-1,)) / number
        out = off * _rsqrt(variance + self.epsilon) * _cast(gamma, ms.float32) + _cast(beta, ms.float32) * stays
        return _cast(out, x.dtype), mean, variance


class MaskedConv2dbn:
    """Mixed into the class of a convolution whose BatchNorm is masked: Golden Stick's name for such a pair.

    The mask is a parameter called ``out_index`` with one entry for every channel, 0 where it is removed and 1 (or any
    other number) where it stays. Its shape does not depend on the prune rate, so that a masked checkpoint loads into
    any masked network. It acts where the pair's channels are complete: in the BatchNorm, which holds the same
    parameter.
    """

    @property
    def conv(self):
        """The convolution, which is this cell."""
        return self

    @property
    def bn(self):
        """The BatchNorm behind it."""
        return self.__dict__["masked_norm"]

    @property
    def stays(self):
        """Truth value per channel: whether it stays."""
        return self.out_index.asnumpy().astype(bool)


def mask_parameter(values, name):
    """A mask as a parameter that nothing trains. It is of float32, as what loops over all parameters expect."""
    return Parameter(values, name=name, requires_grad=False)
