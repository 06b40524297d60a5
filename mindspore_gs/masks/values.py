"""What code outside of a network reads in the place of a parameter: a value computed from it, which knows it."""

from functools import lru_cache
from typing import Any

import mindspore as ms
from mindspore import ops
from mindspore.ops.composite.base import _Grad

from mindspore_gs.errors import PruningError

_HARMLESS = ("index_of_parent_", "parent_tensor_", "delete_")
_WRITERS = ("Assign", "AssignAdd", "AssignSub", "ScatterUpdate", "ScatterAdd", "ScatterSub", "ScatterMul", "ScatterDiv",
            "ScatterMax", "ScatterMin", "ScatterNdUpdate", "ScatterNdAdd", "ScatterNdSub")


def _of_the_parameter(attribute: str, doc: str) -> Any:
    """An attribute that is read from the parameter, and set there."""
    return property(lambda value: getattr(value.parameter, attribute),
                    lambda value, new: setattr(value.parameter, attribute, new), doc=doc)


class ComputedValue(ms.Tensor):
    """A value that is computed from a parameter and reads in its place.

    What is said of the parameter, as in ``net.fc.weight.requires_grad = False``, reaches the parameter. What would
    change the value in place is refused, since the change would be lost.
    """

    parameter: ms.Parameter
    requires_grad = _of_the_parameter("requires_grad", "Whether the parameter is trained.")
    name = _of_the_parameter("name", "The parameter's name.")
    layerwise_parallel = _of_the_parameter("layerwise_parallel", "As of the parameter.")
    parallel_optimizer = _of_the_parameter("parallel_optimizer", "As of the parameter.")
    comm_fusion = _of_the_parameter("comm_fusion", "As of the parameter.")

    @property
    def data(self) -> Any:
        """The value itself; set, it is set as by ``set_data``."""
        return self

    @data.setter
    def data(self, values: Any) -> None:
        """Set it as by ``set_data``."""
        self.set_data(values)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Say whether the parameter is trained."""
        self.requires_grad = requires_grad
        return self

    def register_hook(self, hook: Any) -> Any:
        """Register a hook for the parameter's gradient."""
        return self.parameter.register_hook(hook)

    def set_data(self, data: Any, slice_shape: bool = False) -> Any:
        """Set the parameter's values, where the class does not refuse it."""
        return self.refuse("what set_data() writes")

    def assign_value(self, value: Any) -> Any:
        """As :meth:`set_data`."""
        return self.set_data(value)

    def __setitem__(self, index: Any, value: Any) -> None:
        """Refuse to change an element."""
        self.refuse("an element that is set")

    def refuse(self, what: str) -> Any:
        """Say that a change would be lost, and what to do."""
        raise NotImplementedError


class MaskedValue(ComputedValue):
    """The product of a parameter and its mask. Values that are set reach the parameter."""

    def set_data(self, data: Any, slice_shape: bool = False) -> ms.Parameter:
        """Set the parameter's values."""
        return self.parameter.set_data(data, slice_shape)

    def refuse(self, what: str) -> Any:
        """Say that a change would be lost, and what to do.

        Raises:
            PruningError: always.
        """
        raise PruningError(f"{self.name!r} is masked, and reads as its product with the mask, in which {what} would be "
                           "lost. Set values with set_data(), which reaches the parameter, or change the parameter "
                           f"itself: the one called {self.name!r} in net.get_parameters().")


def as_read(value: Any, parameter: ms.Parameter, kind: type[ComputedValue] = MaskedValue) -> Any:
    """A computed tensor as a :class:`ComputedValue`; the same object, so that gradients pass."""
    if type(value) is ms.Tensor:
        _guard_operators()
        value.__class__ = kind
        value.parameter = parameter
    return value


def _refused(method: str) -> Any:
    def refuse(self: ComputedValue, *_: Any, **__: Any) -> None:
        self.refuse(f"what {method}() writes")
    return refuse


for _method in dir(ms.Tensor):
    if _method.endswith("_") and not _method.startswith("_") and _method not in (*_HARMLESS, *vars(ComputedValue)):
        setattr(ComputedValue, _method, _refused(_method))


@lru_cache(maxsize=1)
def _guard_operators() -> None:
    """Teach MindSpore's operators what a :class:`ComputedValue` is; whatever else they get is as ever.

    Those that write into their first input, as ``ops.assign`` does, refuse it: it cannot say so itself, since no method
    of it is called. ``ms.grad`` and its like take the parameter: MindSpore would call the value's gradient zero.
    """
    for name in _WRITERS:
        if hasattr(ops, name):
            _refuse_values(getattr(ops, name))
    for kind in (ops.GradOperation, _Grad):
        _take_parameters(kind)


def _refuse_values(operator: Any) -> None:
    write = operator.__call__

    def guarded(self: Any, *inputs: Any, **named: Any) -> Any:
        target = next(iter((*inputs, *named.values())), None)
        if isinstance(target, ComputedValue):
            target.refuse(f"what {operator.__name__} writes")
        return write(self, *inputs, **named)

    operator.__call__ = guarded


def _take_parameters(kind: Any) -> None:
    differentiate = kind.__call__

    def guarded(self: Any, fn: Any, weights: Any = None, *position: Any, **named: Any) -> Any:
        return differentiate(self, fn, _parameters(weights), *position, **named)

    kind.__call__ = guarded


def _parameters(weights: Any) -> Any:
    if isinstance(weights, ComputedValue):
        return weights.parameter
    if type(weights) in (list, tuple):
        return type(weights)(map(_parameters, weights))
    return weights
