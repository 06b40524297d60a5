"""What code outside of a network reads in the place of a masked weight: a value that knows its parameter."""

from typing import Any

import mindspore as ms

from mindspore_gs.errors import PruningError

_HARMLESS = ("requires_grad_", "index_of_parent_", "parent_tensor_", "delete_")


class MaskedValue(ms.Tensor):
    """The product of a parameter and its mask.

    What is said of the parameter (``net.fc.weight.requires_grad = False``, ``net.fc.weight.set_data(values)``) reaches
    the parameter. What would change the product in place is refused, since the change would be lost.
    """

    @property
    def requires_grad(self) -> bool:
        """Whether the parameter is trained."""
        return self._parameter().requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        """Say whether the parameter is trained."""
        self._parameter().requires_grad = value

    @property
    def name(self) -> str:
        """The parameter's name."""
        return self._parameter().name

    @name.setter
    def name(self, value: str) -> None:
        """Give the parameter another name."""
        self._parameter().name = value

    def set_data(self, data: Any, slice_shape: bool = False) -> ms.Parameter:
        """Set the parameter's values."""
        return self._parameter().set_data(data, slice_shape)

    def assign_value(self, value: Any) -> Any:
        """Set the parameter's values."""
        return self._parameter().assign_value(value)

    def __setitem__(self, index: Any, value: Any) -> None:
        """Refuse to change an element of the product."""
        _refuse(self, "an element that is set")

    def _parameter(self) -> ms.Parameter:
        return self.__dict__["masked_parameter"]


def as_read(value: Any, parameter: ms.Parameter) -> Any:
    """The product as a :class:`MaskedValue`; the same object, so that gradients pass."""
    if type(value) is ms.Tensor:
        value.__class__ = MaskedValue
        value.__dict__["masked_parameter"] = parameter
    return value


def _refuse(value: MaskedValue, what: str) -> None:
    name = value.name
    raise PruningError(f"{name!r} is masked, and reads as its product with the mask, in which {what} would be lost. "
                       f"Change the parameter itself: the one called {name!r} in net.get_parameters().")


def _refused(method: str) -> Any:
    def refuse(self: MaskedValue, *_: Any, **__: Any) -> None:
        _refuse(self, f"what {method}() writes")
    return refuse


for _method in dir(ms.Tensor):
    if _method.endswith("_") and not _method.startswith("_") and _method not in _HARMLESS:
        setattr(MaskedValue, _method, _refused(_method))
