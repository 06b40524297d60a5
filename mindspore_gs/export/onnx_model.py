"""From a traced graph to an ONNX model."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from mindspore_gs.errors import ExportError
from mindspore_gs.export.batch import Multiple
from mindspore_gs.export.onnx_constants import fold_constants
from mindspore_gs.export.onnx_rules import apply_rule
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Graph

OPSET = 17  # LayerNormalization is the newest operator that is used
_IR_VERSION = 8  # the format that came with this opset
_LARGEST = 2 * 1000 ** 3  # bytes that one protobuf file holds


def build_model(graph: Graph, weights: Mapping[str, np.ndarray], dtypes: Mapping[str, str],
                input_names: Sequence[str] | None, output_names: Sequence[str] | None) -> Any:
    """An ``onnx.ModelProto`` that computes what ``graph`` computes.

    Args:
        graph: the traced network; sizes that follow the batch are :class:`~mindspore_gs.export.batch.Multiple`.
        weights: the value of each parameter, by name.
        dtypes: NumPy name of the type of each input, by name.
        input_names: names for the inputs; those of ``construct``'s arguments where None.
        output_names: names for the outputs; ``output``, or ``output_0`` and so on, where None.

    Raises:
        ExportError: an operator has no rule, there are more or fewer names than inputs or outputs, or the weights are
            too large for one file.
    """
    from onnx import helper, numpy_helper

    writer = Writer(graph, weights, dtypes)
    for node in graph.nodes:
        writer.write(node, apply_rule)
    outputs = writer.outputs()
    writer.nodes, writer.initializers = fold_constants(writer.nodes, writer.initializers, graph.parameters,
                                                       [name for name, _, _ in outputs], OPSET)
    arguments = [name.rpartition(":")[2].removesuffix("_$") for name in graph.inputs]  # MindSpore makes x_$ of some x
    own = set(writer.initializers) & set(graph.parameters)
    taken = _names(input_names, "input", arguments, own)
    usual = ["output"] if len(outputs) == 1 else [f"output_{k}" for k in range(len(outputs))]
    names = _names(output_names, "output", usual, own | set(taken))
    renamed = dict(zip(graph.inputs, taken))
    _name_outputs(writer, outputs, names, renamed)
    _check_names([*taken, *names], own)
    _make_way(writer, own, renamed)
    if sum(array.nbytes for array in writer.initializers.values()) > _LARGEST:
        raise ExportError("the weights have more than 2 GB, which no ONNX file of one piece holds")
    for proto in writer.nodes:
        for field in (proto.input, proto.output):
            field[:] = [renamed.get(name, name) for name in field]
    tensors = [helper.make_tensor_value_info(renamed[name], writer.type_number(dtypes[name]), _sizes(shape))
               for name, shape in graph.inputs.items()]
    results = [helper.make_tensor_value_info(name, writer.type_number(dtype), _sizes(shape))
               for name, (_, shape, dtype) in zip(names, outputs)]
    proto = helper.make_graph(writer.nodes, "network", tensors, results, [
        numpy_helper.from_array(array, renamed.get(name, name)) for name, array in writer.initializers.items()])
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION,
                             producer_name="mindspore_gs")


def _names(given: Sequence[str] | None, what: str, usual: Sequence[str], taken: Collection[str]) -> list[str]:
    """The user's names, or the usual ones with a number behind those that are taken."""
    if given is None:
        found: list[str] = []
        for name in usual:
            found.append(_free(name, {*taken, *found}))
        return found
    count = len(usual)
    if isinstance(given, str) or len(given) != count or len(set(given)) != count or not all(
            isinstance(name, str) and name for name in given):
        raise ExportError(f"{what}_names must be {count} different names, one for each {what}, but got {given!r}.")
    return list(given)


def _free(name: str, taken: Collection[str]) -> str:
    return next(each for each in (name, *(f"{name}_{k}" for k in range(1, len(taken) + 2))) if each not in taken)


def _name_outputs(writer: Writer, outputs: Sequence[tuple[str, Any, str]], names: Sequence[str],
                  renamed: dict[str, str]) -> None:
    """Give the operators that compute outputs the outputs' names; whatever else is returned goes through Identity."""
    computed = {name for proto in writer.nodes for name in proto.output}
    for (value, _, _), name in zip(outputs, names):
        if value in renamed or value not in computed:
            value = writer.add("Identity", value)
        renamed[value] = name


def _check_names(wanted: Sequence[str], weights: Collection[str]) -> None:
    """Names that the user wants may not be those of a weight, nor of both an input and an output."""
    for name in wanted:
        if wanted.count(name) > 1 or name in weights:
            raise ExportError(f"the name {name!r} of an input or output belongs to another value of the network; give "
                              "other input_names or output_names")


def _make_way(writer: Writer, weights: Collection[str], renamed: dict[str, str]) -> None:
    """Values inside of the network that have the name of an input or output get another one."""
    computed = {name for proto in writer.nodes for name in proto.output} | set(writer.initializers)
    inside = computed - {*weights, *renamed}
    wanted = set(renamed.values())
    for name in sorted(inside & wanted):
        renamed[name] = _free(name, inside | wanted | set(weights))


def _sizes(shape: Sequence[int]) -> list[int | str]:
    return [int(n) if not isinstance(n, Multiple) else "batch" if n.each == 1 else f"{n.each}*batch" for n in shape]
