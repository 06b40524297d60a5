"""What code outside of a network reads in the place of a masked weight: a value that knows its parameter."""

from typing import Any

import mindspore as ms

from mindspore_gs.errors import PruningError

_HARMLESS = ("requires_grad_", "index_of_parent_", "parent_tensor_", "delete_")


def _of_the_parameter(attribute: str, doc: str) -> Any:
    """An attribute that is read from the parameter, and set there."""
    return property(lambda value: getattr(value.masked_parameter, attribute),
                    lambda value, new: setattr(value.masked_parameter, attribute, new), doc=doc)


class MaskedValue(ms.Tensor):
    """The product of a parameter and its mask.

    What is said of the parameter (``net.fc.weight.requires_grad = False``, ``net.fc.weight.set_data(values)``) reaches
    the parameter. What would change the product in place is refused, since the change would be lost.
    """

    masked_parameter: ms.Parameter
    requires_grad = _of_the_parameter("requires_grad", "Whether the parameter is trained.")
    name = _of_the_parameter("name", "The parameter's name.")

    def set_data(self, data: Any, slice_shape: bool = False) -> ms.Parameter:
        """Set the parameter's values."""
        return self.masked_parameter.set_data(data, slice_shape)

    def assign_value(self, value: Any) -> Any:
        """Set the parameter's values."""
        return self.masked_parameter.assign_value(value)

    def __setitem__(self, index: Any, value: Any) -> None:
        """Refuse to change an element of the product."""
        _refuse(self, "an element that is set")


def as_read(value: Any, parameter: ms.Parameter) -> Any:
    """The product as a :class:`MaskedValue`; the same object, so that gradients pass."""
    if type(value) is ms.Tensor:
        value.__class__ = MaskedValue
        value.masked_parameter = parameter
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
