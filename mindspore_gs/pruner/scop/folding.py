"""Mask the output of a BatchNorm by masking gamma and beta. Graph mode compiles this file, so it has few annotations.

With a mask m of 0 and 1, gamma m x + beta m is (gamma x + beta) m: the same output, the same gradients, and instead
of a multiplication of the whole feature map one of two vectors.
"""

from mindspore import Parameter, nn, ops


class FoldedMask:
    """Mixed into the class of a BatchNorm that has a parameter ``channel_mask``.

    A mixin and not a wrapper, so that the cell stays a BatchNorm for whoever asks, such as mixed precision.
    """

    fp16 = bf16 = False  # what to_float() sets on a cell; there, BatchNorm takes nothing but parameters

    def construct(self, x):
        """Normalise with masked gamma and beta."""
        stays = ops.stop_gradient(self.channel_mask)
        if self.fp16 or self.bf16:
            out = super(FoldedMask, self).construct(x)
            return out * stays.reshape((1, -1, 1, 1)).astype(out.dtype)
        stays = stays.astype(self.gamma.dtype)
        gamma, beta = self.gamma * stays, self.beta * stays
        if self.use_batch_statistics or (self.use_batch_statistics is None and self.training):
            return self.bn_train(x, gamma, beta, self.moving_mean, self.moving_variance)[0]
        return self.bn_infer(x, gamma, beta, self.moving_mean, self.moving_variance)[0]


def fold_mask(norm: nn.Cell, mask: Parameter) -> bool:
    """Let ``norm`` mask its output; False for a class that is not MindSpore's own."""
    if type(norm) not in (nn.BatchNorm2d, nn.SyncBatchNorm):
        return False
    name = mask.name
    norm.channel_mask = mask
    mask.name = name
    norm.__class__ = type(f"Masked{type(norm).__name__}", (FoldedMask, type(norm)), {"__module__": __name__})
    return True


def unfold_mask(norm: nn.Cell) -> None:
    """Undo :func:`fold_mask`."""
    if issubclass(type(norm), FoldedMask):
        del norm.channel_mask
        norm.__class__ = type(norm).__mro__[2]
