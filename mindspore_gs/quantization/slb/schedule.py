"""The temperature of SLB from epoch to epoch, as pure functions."""

from dataclasses import dataclass
from math import inf, log10

_LARGEST = 300  # power of ten that a float holds


@dataclass(frozen=True)
class Schedule:
    r"""When the distributions sharpen.

    With epochs e counted from 1, :math:`e_0` = int(epoch_size x t_start_time) and :math:`e_1` = int(epoch_size x
    t_end_time), the temperature is :math:`T(e) = t\_start\_val \cdot t\_factor^{\min(e, e_1) - e_0}` behind
    :math:`e_0` and t_start_val before. From :math:`e_1` on the weights are the likeliest candidates.

    Attributes:
        epoch_size: epochs of the whole training.
        t_start_val: the temperature at the start.
        t_start_time: share of the epochs after which it changes.
        t_end_time: share of the epochs after which it stays.
        t_factor: what it is multiplied with from one epoch to the next.

    Examples:
        >>> schedule = Schedule(10, 1.0, 0.2, 0.6, 2.0)
        >>> [schedule.temperature(epoch) for epoch in range(1, 9)]
        [1.0, 1.0, 2.0, 4.0, 8.0, 16.0, 16.0, 16.0]
        >>> [epoch for epoch in range(1, 11) if schedule.ended(epoch)], schedule.begun(2), schedule.begun(3)
        ([6, 7, 8, 9, 10], False, True)
    """

    epoch_size: int
    t_start_val: float = 1.0
    t_start_time: float = 0.2
    t_end_time: float = 0.6
    t_factor: float = 1.2

    @property
    def first(self) -> int:
        """The last epoch at the starting temperature."""
        return int(self.epoch_size * self.t_start_time)

    @property
    def last(self) -> int:
        """The first epoch with the likeliest candidates."""
        return int(self.epoch_size * self.t_end_time)

    def temperature(self, epoch: int) -> float:
        """T in an epoch, counted from 1."""
        steps = max(0, min(epoch, self.last) - self.first)
        if steps * log10(self.t_factor) > _LARGEST:
            return inf
        return self.t_start_val * self.t_factor ** steps

    def begun(self, epoch: int) -> bool:
        """Whether the distributions sharpen in this epoch, or have done so."""
        return epoch > self.first

    def ended(self, epoch: int) -> bool:
        """Whether the weights are the likeliest candidates in this epoch."""
        return epoch >= self.last
