"""Training with a teacher: soft targets of the dense network."""

from mindspore_gs._distribution import refuse_mixture

refuse_mixture()

from mindspore_gs.distill.teacher import DistillLoss  # noqa: E402

__all__ = ["DistillLoss"]
