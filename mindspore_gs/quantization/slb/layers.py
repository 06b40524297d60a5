"""Which layers of a network get searched weights, and how they get them."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import mint, nn

from mindspore_gs._cells import every_cell, forget_compilation, name_prefix, parameters_by_name
from mindspore_gs._mixin import mix_in, original_class
from mindspore_gs._resize import with_values
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import ChannelGraph, trace
from mindspore_gs.quantization.slb.slb_fake_quantizer import SlbActQuantizer, SlbFakeQuantizerPerLayer
from mindspore_gs.quantization.slb.slb_quant import (
    LOGITS,
    Conv2dSlbQuant,
    DenseSlbQuant,
    RoundingOperator,
    SearchedWeight,
    SlbLayer,
)
from mindspore_gs.quantization.slb.values import best_scales, logits_for
from mindspore_gs.record import set_form

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d,
                *(getattr(mint.nn, name) for name in ("Conv1d", "Conv2d", "Conv3d") if hasattr(mint.nn, name)))
DENSE = (nn.Dense, *(getattr(mint.nn, name) for name in ("Linear",) if hasattr(mint.nn, name)))
MARK = "slb_network"


def slb_layers(net: nn.Cell) -> dict[str, Any]:
    """The cells with searched weights by path."""
    return {path: cell for path, cell in net.cells_and_names() if isinstance(cell, SlbLayer)}


def searched_logits(net: nn.Cell) -> list[ms.Parameter]:
    """The logits of the searched layers, wherever in the network they are."""
    return [vars(cell)[LOGITS] for cell in every_cell(net) if isinstance(cell, SlbLayer)]


def chosen_layers(net: nn.Cell, config: Any) -> dict[str, nn.Cell]:
    """The cells that get searched weights, by path.

    Raises:
        PruningError: there is none, or one cannot be searched.
        ValueError: a pattern of ``keep_float`` fits no layer.
    """
    kinds = CONVOLUTIONS + DENSE if config.dense else CONVOLUTIONS
    found = {path: cell for path, cell in net.cells_and_names() if isinstance(cell, kinds)}
    if not found:
        raise PruningError(f"{type(net).__name__} has no convolution (nn.Conv1d, nn.Conv2d, nn.Conv3d or those of "
                           f"mint.nn){' and no dense layer' if config.dense else ''}, so there are no weights to "
                           "search. SLB takes dense layers with 'dense': True, and computes nothing for weights that "
                           "a network's own code multiplies with.")
    for pattern in config.keep_float:
        if not any(fnmatchcase(path, pattern) for path in found):
            raise ValueError(f"For 'SlbQuantAwareTraining', the 'keep_float' pattern {pattern!r} fits none of the "
                             f"layers {', '.join(found)}.")
    left = {path: cell for path, cell in found.items()
            if not any(fnmatchcase(path, pattern) for pattern in config.keep_float)}
    for path, cell in left.items():
        _check_construct(path, cell)
        if cell.weight.dtype == ms.bfloat16:
            raise PruningError(f"the weight of {path!r} is of the type bfloat16, which has too few digits for logits; "
                               "give the network with float32 weights, and mixed precision to the Model, or leave the "
                               f"layer in float with 'keep_float': [{path!r}].")
        if config.enable_act_quant and operator_of(cell) is None:
            raise PruningError(f"the input of {path!r} cannot be rounded, because a {type(cell).__name__} does not "
                               "hold the operator that it computes with. Leave 'enable_act_quant' False, or the layer "
                               f"in float with 'keep_float': [{path!r}].")
    if config.keep_first_last:
        weights = ends(trace(net, *(config.input_shape or ())))
        own = {id(p): name for name, p in parameters_by_name(net).items()}
        left = {path: cell for path, cell in left.items() if own.get(id(cell.weight)) not in weights}
    if not left:
        raise PruningError(f"'keep_float' and 'keep_first_last' leave none of the layers {', '.join(found)} of "
                           f"{type(net).__name__} for SLB; keep fewer in float.")
    _check_held(net, left)
    return left


def _check_held(net: nn.Cell, layers: dict[str, nn.Cell]) -> None:
    """Refuse a weight that a cell which is not searched holds as well: that cell would compute with the logits.

    Code that reads ``layer.weight`` gets the searched weight, and is right.

    Raises:
        PruningError: there is one.
    """
    weights = {id(cell.weight): path for path, cell in layers.items()}
    searched = {id(cell) for cell in layers.values()}
    for path, cell in net.cells_and_names():
        if id(cell) in searched:
            continue
        lists = [item for value in vars(cell).values() if isinstance(value, (list, tuple)) for item in value]
        held = [value for _, value in cell.parameters_and_names(expand=False)] + lists
        layer = next((weights[id(value)] for value in held if id(value) in weights), None)
        if layer is not None:
            raise PruningError(f"{path or 'the network itself'!r} holds the weight of {layer!r}, but is not searched, "
                               f"so it would compute with the logits. Leave {layer!r} in float with 'keep_float', or "
                               f"read the weight as an attribute of that layer, which gives the searched weight.")


def _check_construct(path: str, cell: nn.Cell) -> None:
    """Refuse a class whose ``construct`` calls that of its parent.

    Graph mode looks up ``super()`` from the object's class, which is a mixed one, and takes a weight that is read in a
    parent's ``construct`` for a constant, so that the logits get no gradient.

    Raises:
        PruningError: it does.
    """
    for kind in original_class(cell).__mro__:
        if kind.__module__.startswith("mindspore."):
            return
        code = getattr(vars(kind).get("construct"), "__code__", None)
        if code is not None and {"super", "construct"} & set(code.co_names):
            raise PruningError(f"{path!r} is a {kind.__name__}, whose construct() calls its parent's; Graph mode would "
                               "not train searched weights there. Compute with self.weight in construct() itself, such "
                               "as self.conv2d(x, self.weight), or leave the layer in float with 'keep_float': "
                               f"[{path!r}].")


def ends(graph: ChannelGraph) -> set[str]:
    """Names of the weights of the first and the last layers, by dataflow.

    A layer is one of the first if no other convolution or product lies between the network's inputs and it, and one of
    the last if none lies between it and the outputs. A network with several inputs or outputs has several.
    """
    flow = graph.graph
    weight_of = {node.name: weight for node in flow.nodes
                 for weight in (_weight(flow, node),) if weight is not None}
    behind: dict[str, bool] = {}
    first: set[str] = set()
    for node in flow.nodes:
        before = any(behind.get(name, False) for name in node.inputs)
        if node.name in weight_of and not before:
            first.add(weight_of[node.name])
        behind[node.name] = before or node.name in weight_of
    ahead: dict[str, bool] = {}
    last: set[str] = set()
    for node in reversed(flow.nodes):
        after = any(ahead.get(reader.name, False) for reader in flow.consumers_of(node.name))
        if node.name in weight_of and not after:
            last.add(weight_of[node.name])
        ahead[node.name] = after or node.name in weight_of
    return first | last


def _weight(flow: Any, node: Any) -> str | None:
    """The weight that a convolution or product multiplies with, where it is a parameter of at least two axes."""
    if not any(word in node.op for word in ("Conv", "MatMul", "Dense", "Linear")):
        return None
    names = [name for value in node.inputs for name in flow.parameters_behind(value)]
    return next((name for name in names if len(flow.parameters[name]) > 1), None)


def search_weights(net: nn.Cell, layers: dict[str, nn.Cell], config: Any) -> nn.Cell:
    """Give these layers searched weights, in place. Nothing changes if it raises.

    Raises:
        PruningError: weights that cannot be started from: all zero, or not finite.
    """
    starts: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for path, cell in layers.items():
        if id(cell.weight) not in starts:
            starts[id(cell.weight)] = start_of(path, cell.weight.asnumpy(), config)
    shared: dict[int, tuple[Any, Any]] = {}
    logits_of: dict[int, ms.Parameter] = {}
    prefix = name_prefix(net)
    weights = [cell.weight for cell in layers.values()]  # alive until all are replaced, so that no id is used twice
    for (path, cell), parameter in zip(layers.items(), weights):
        dimensions = starts[id(parameter)][0].ndim - 1
        place = prefix + (f"{path}." if path else "")
        if id(parameter) not in shared:
            logits, scale = starts[id(parameter)]
            quantizer = SlbFakeQuantizerPerLayer(config.bits)
            quantizer.set_temperature(config.t_start_val)
            _name(quantizer, f"{place}_weight_quantizer.")
            kind = parameter.dtype
            shared[id(parameter)] = quantizer, ms.Parameter(ms.Tensor(scale, kind), name=f"{place}weight_scale",
                                                            requires_grad=False)
            logits_of[id(parameter)] = _reshaped(parameter, logits)
        cell._params["weight"] = logits_of[id(parameter)]
        _make_searched(cell, dimensions, *shared[id(parameter)])
        if config.enable_act_quant:
            _observe(cell, place)
    setattr(net, MARK, True)
    forget_compilation(net)
    return net


def _reshaped(parameter: ms.Parameter, values: np.ndarray) -> ms.Parameter:
    """A new parameter in the place of the old one.

    The old one gets the new shape as well, so that an optimizer which was made before fails and does not train nothing.
    """
    found = with_values(parameter, values)
    parameter.set_data(ms.Tensor(values, parameter.dtype), slice_shape=True)
    return found


def start_of(path: str, weight: np.ndarray, config: Any) -> tuple[np.ndarray, np.ndarray]:
    """Logits and scales that a layer starts with; the mathematics is in :mod:`.values`.

    Raises:
        PruningError: the weights are all zero, or not finite.
    """
    if not np.isfinite(weight).all() or not weight.any():
        raise PruningError(f"the weights of {path!r} are {'all zero' if not weight.any() else 'not finite'}, so SLB "
                           "cannot start from them; load trained or initialised weights first, or leave the layer in "
                           f"float with 'keep_float': [{path!r}].")
    scale = best_scales(weight, config.bits)
    if config.start == "random":
        shape = (*weight.shape, 2 ** config.bits)
        spread = np.sqrt(2 / (len(weight) * np.prod(weight.shape[2:])))
        return np.random.default_rng(config.seed).normal(0, spread, shape).astype(np.float32), scale
    rows = np.where(scale > 0, scale, 1).reshape(-1, *(1,) * (weight.ndim - 1))
    return logits_for(weight / rows, config.bits, config.t_start_val), scale


def _make_searched(cell: nn.Cell, dimensions: int, quantizer: nn.Cell, scale: ms.Parameter) -> None:
    parameter, name, training = cell.weight, scale.name, cell.training
    with_names = [(p, p.name) for p in quantizer.get_parameters()]
    cell.weight_scale, cell._weight_quantizer = scale, quantizer
    scale.name = name
    for inner, own in with_names:
        inner.name = own
    vars(cell)[LOGITS] = parameter
    set_form(cell, "searched")
    dense = issubclass(original_class(cell), DENSE)
    mix_in(cell, DenseSlbQuant if dense else Conv2dSlbQuant, weight=SearchedWeight(dimensions))
    quantizer.set_train(training)


def _observe(cell: nn.Cell, place: str) -> None:
    quantizer = SlbActQuantizer(ema=True, ema_decay=0.99)
    round_input(cell, quantizer)
    _name(quantizer, f"{place}{operator_of(cell)}.quantizer.")
    quantizer.set_train(cell.training)


def operator_of(cell: nn.Cell) -> str | None:
    """Attribute of the operator that a layer multiplies its input and its weight with."""
    return next((name for name in ("conv2d", "conv3d", "matmul", "dense") if callable(getattr(cell, name, None))), None)


def round_input(cell: nn.Cell, quantizer: nn.Cell) -> None:
    """Let a quantizer round what comes into a layer's operator."""
    name = operator_of(cell)
    operator = getattr(cell, str(name))
    delattr(cell, str(name))
    setattr(cell, str(name), RoundingOperator(quantizer, operator))


def leave_input(cell: nn.Cell) -> nn.Cell | None:
    """Undo :func:`round_input`. Returns the quantizer, or None where there was none."""
    name = operator_of(cell)
    rounding = getattr(cell, str(name), None)
    if not isinstance(rounding, RoundingOperator):
        return None
    delattr(cell, str(name))
    setattr(cell, str(name), rounding.operator)
    return rounding.quantizer


def _name(cell: nn.Cell, place: str) -> None:
    for parameter in cell.get_parameters():
        parameter.name = place + parameter.name.rsplit(".", 1)[-1]


def quantizers(cells: Sequence[nn.Cell]) -> list[SlbFakeQuantizerPerLayer]:
    """The quantizers of weights among these cells."""
    return [cell for cell in cells if isinstance(cell, SlbFakeQuantizerPerLayer)]
