"""Does a file compute what the network computes?"""

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import mindspore as ms
from mindspore import nn

from mindspore_gs._cells import tensors_in
from mindspore_gs.errors import ExportError
from mindspore_gs.slim.check import Verdict, compare
from mindspore_gs.slim.difference import differences

Run = Callable[[tuple[ms.Tensor, ...]], Any]


def first_doubt(net: nn.Cell, run: Run, probes: Iterable[tuple[ms.Tensor, ...]],
                kinds: Iterable[str] = ()) -> Verdict | None:
    """The first set of inputs on which the file is not known to be equal; None where it is equal on all.

    Args:
        net: the network, in evaluation mode.
        run: runs the file on a set of inputs.
        probes: the sets of inputs.
        kinds: types that the network's code computes in, beside those of inputs, parameters and cells.

    Raises:
        ExportError: the file returns more or fewer tensors than the network, or tensors of other shapes.
    """
    for probe in probes:
        got, expected = _tensors(run(probe)), _tensors(net(*probe))
        _need_same_shapes(got, expected, probe)
        found = differences(got, expected)
        verdict = compare(net, None, probe, found, _tensors, kinds)
        if verdict.different or verdict.unknown or not verdict.counted:
            return verdict
    return None


def _tensors(output: Any) -> list[Any]:
    """The tensors of an output: a file keeps neither the keys of dicts nor what is no tensor."""
    return list(tensors_in(output))


def _need_same_shapes(got: list[Any], expected: list[Any], probe: tuple[ms.Tensor, ...]) -> None:
    shapes = [[tuple(tensor.shape) for tensor in tensors] for tensors in (got, expected)]
    if shapes[0] == shapes[1]:
        return
    hint = (". Some of MindSpore's functions return something else in PyNative mode than in Graph mode, which a file "
            "holds (Tensor.max with an axis, for example); choose Graph mode, or other functions."
            if ms.get_context("mode") == ms.PYNATIVE_MODE else ".")
    raise ExportError(f"from inputs of the shapes {[tuple(x.shape) for x in probe]} the file computes tensors of the "
                      f"shapes {shapes[0]}, but the network {shapes[1]}{hint}")


def refuse(verdict: Verdict, kind: str) -> NoReturn:
    """Raise the error that tells why a file is not kept.

    Raises:
        ExportError: always.
    """
    if verdict.different:
        raise ExportError(f"the reloaded {kind} differs from the network by {verdict.worst:.1e} (relative, allowed "
                          f"{verdict.allowed:.0e}).")
    why = "one rounding of the input changes an output as much" if verdict.unknown else "every output is random"
    raise ExportError(f"whether the reloaded {kind} equals the network is unknown: {why}. mindspore.export() writes "
                      "a MindIR without a comparison.")
