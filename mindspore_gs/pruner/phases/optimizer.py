"""A penalty inside of an optimizer: mixed in for as long as a phase lasts. Graph mode compiles this file."""

from mindspore_gs._mixin import has, mix_in, take_out


class PenalisedOptimizer:
    """Mixed into an optimizer, which holds the penalty as ``penalty``.

    In the optimizer is the one place where the gradients are complete: averaged over processes, free of the loss scale,
    and dropped where they overflow. A step that is left out leaves out the penalty.
    """

    def construct(self, gradients):
        """One step of the optimizer with the penalty."""
        if self.penalty.proximal:
            rates = self.penalty_rates()  # of this step: the optimizer counts on
            done = super(PenalisedOptimizer, self).construct(gradients)
            self.penalty.shrink(self.parameters, rates, self.penalty_several)
        else:
            done = super(PenalisedOptimizer, self).construct(
                self.penalty.add(self.parameters, gradients, self.penalty_scale))
        self.penalty.count()
        return done

    def penalty_rates(self):
        """The learning rate, or one for each parameter."""
        if not self.penalty_by_group:
            return self.get_lr()
        rates = ()
        for number in self.penalty_groups:
            rates = rates + (self.param_groups[number]["lr"],)
        return rates


def put_in(optimizer, penalty):
    """Mix a penalty into an optimizer, in place."""
    groups = getattr(optimizer, "param_groups", None)
    optimizer.penalty = penalty
    optimizer.penalty_by_group = groups is not None
    optimizer.penalty_groups = tuple(k for k, group in enumerate(groups or ()) for _ in group["params"])
    optimizer.penalty_several = groups is not None or bool(getattr(optimizer, "is_group_lr", False))
    optimizer.penalty_scale = float(getattr(optimizer, "loss_scale", 1.0))
    mix_in(optimizer, PenalisedOptimizer)


def is_in(optimizer):
    """Whether a penalty is in an optimizer."""
    return has(optimizer, PenalisedOptimizer)


def take_off(optimizer):
    """Give the optimizer back as it was."""
    take_out(optimizer, PenalisedOptimizer)
    for name in ("penalty", "penalty_by_group", "penalty_groups", "penalty_several", "penalty_scale"):
        delattr(optimizer, name)
