"""Training with a teacher: soft targets of the dense network, and networks without shortcuts."""

from mindspore_gs._distribution import refuse_mixture

refuse_mixture()

from mindspore_gs.distill.joint_rd import JointRD  # noqa: E402
from mindspore_gs.distill.plain import plain_network  # noqa: E402
from mindspore_gs.distill.teacher import DistillLoss  # noqa: E402

__all__ = ["DistillLoss", "JointRD", "plain_network"]
