"""Options of SLB, with the messages that Golden Stick documents."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from mindspore.common.dtype import QuantDtype

from mindspore_gs._config import CommonConfig, boolean, integer, option, wrong_type

_BITS = {QuantDtype.INT1: 1, QuantDtype.INT2: 2, QuantDtype.INT4: 4}


def weight_dtype(value: Any) -> QuantDtype:
    """Accept 1, 2 and 4 bits."""
    if not isinstance(value, QuantDtype):
        raise TypeError(f"The parameter `weight quant dtype` must be isinstance of QuantDtype, but got {value}.")
    if value not in _BITS:
        raise ValueError("Only supported if `weight_quant_dtype` is `QuantDtype.INT1`, `QuantDtype.INT2` or "
                         f"`QuantDtype.INT4` yet. Got {value}.")
    return value


def act_dtype(value: Any) -> QuantDtype:
    """Accept 8 bits."""
    if not isinstance(value, QuantDtype):
        raise TypeError(f"The parameter `act quant dtype` must be isinstance of QuantDtype, but got {value}.")
    if value is not QuantDtype.INT8:
        raise ValueError("Only supported if `act_quant_dtype` is `QuantDtype.INT8` yet. "
                         f"Got {value}; for float activations leave 'enable_act_quant' False.")
    return value


def _dtypes(owner: str, name: str, value: Any) -> tuple[QuantDtype, QuantDtype]:
    if not isinstance(value, (list, tuple)):
        value = [QuantDtype.INT8, value]
    if len(value) == 1:
        value = [QuantDtype.INT8, value[0]]
    if len(value) != 2:
        raise ValueError("The length of input `quant dtype` should not be greater than 2. It is [activation, weight], "
                         f"but got {len(value)} entries.")
    return act_dtype(value[0]), weight_dtype(value[1])


def _epochs(least: int) -> Any:
    rule = "> 0" if least == 1 else f">= {least}"

    def check(owner: str, name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"For '{owner}', the '{name}' must be int, but got '{type(value).__name__}'.")
        if value < least:
            raise ValueError(f"For '{owner}', the '{name}' must be int and must {rule}, but got '{value}' with type "
                             "'int'.")
        return value

    return check


def _positive(owner: str, name: str, value: Any) -> float:
    if not isinstance(value, float):
        raise TypeError(f"For '{owner}', the '{name}' must be float, but got '{type(value).__name__}'.")
    if not 0 < value < float("inf"):
        raise ValueError(f"For '{owner}', the '{name}' must be float and must > 0, but got '{value}' with type "
                         "'float'.")
    return value


def _share(owner: str, name: str, value: Any) -> float:
    if not isinstance(value, float):
        raise wrong_type(owner, name, "float", value)
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"For '{owner}', the '{name}' must be in range of [0.0, 1.0], but got {value} with type "
                         "'float'.")
    return value


def _start(owner: str, name: str, value: Any) -> str:
    if value not in ("weights", "random"):
        raise ValueError(f"For '{owner}', the '{name}' must be 'weights' or 'random', but got {value!r}.")
    return value


def _patterns(owner: str, name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(part, str) for part in value):
        raise TypeError(f"For '{owner}', the '{name}' must be a list of paths or patterns of cells such as "
                        f"['conv1', 'layer4.*'], but got {value!r}.")
    return tuple(value)


def _input_shape(owner: str, name: str, value: Any) -> tuple[Any, ...] | None:
    from mindspore_gs.pruner.config import input_shape

    return input_shape(owner, name, value)


@dataclass(frozen=True)
class SlbConfig(CommonConfig):
    """Options of ``SlbQuantAwareTraining``, whose docstring explains them."""

    quant_dtype: tuple[QuantDtype, QuantDtype] = option((QuantDtype.INT8, QuantDtype.INT1), _dtypes)
    enable_act_quant: bool = option(False, boolean)
    enable_bn_calibration: bool = option(False, boolean)
    epoch_size: int = option(-1, _epochs(1))
    has_trained_epoch: int = option(-1, _epochs(0))
    t_start_val: float = option(1.0, _positive)
    t_start_time: float = option(0.2, _share)
    t_end_time: float = option(0.6, _share)
    t_factor: float = option(1.2, _positive)
    start: str = option("weights", _start)
    dense: bool = option(False, boolean)
    keep_first_last: bool = option(False, boolean)
    keep_float: tuple[str, ...] = option((), _patterns)
    input_shape: tuple[Any, ...] | None = option(None, _input_shape)
    seed: int = option(0, integer)

    @property
    def act_quant_dtype(self) -> QuantDtype:
        """The type of activations."""
        return self.quant_dtype[0]

    @property
    def weight_quant_dtype(self) -> QuantDtype:
        """The type of weights."""
        return self.quant_dtype[1]

    @property
    def bits(self) -> int:
        """Bits of a weight."""
        return _BITS[self.weight_quant_dtype]

    @staticmethod
    def check_together(owner: str, config: Any, given: Set[str]) -> None:
        """Nothing: the epochs are checked by ``callbacks``, as Golden Stick does, since setters come one by one."""
