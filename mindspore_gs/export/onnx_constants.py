"""Compute now what an ONNX graph would compute from constants alone: anchors of detectors, positions, shapes."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

_log = logging.getLogger("mindspore_gs")

_LARGEST = 1 << 20  # bytes of a result that is stored; larger ones are computed by the engine
_PICKING = ("Slice", "Gather")  # what takes numbers out of a weight


def fold_constants(nodes: Iterable[Any], arrays: Mapping[str, np.ndarray], weights: Iterable[str],
                   outputs: Iterable[str], opset: int) -> tuple[list[Any], dict[str, np.ndarray]]:
    """The nodes that are left, and the constants that they and the network's outputs read.

    ONNX's own reference implementation computes the others. Small engines such as MindSpore Lite's converter fail on
    some of them, also where one number is taken out of a weight, such as the stride of a detector's feature map: that
    number becomes a constant.

    Args:
        nodes: operators, each after what it reads.
        arrays: constants and weights by name.
        weights: names of the weights, which stay what they are.
        outputs: names of what the network returns.
        opset: ONNX's version of the operators.
    """
    own, known, left = set(weights), dict(arrays), []
    for node in nodes:
        weighed = [known[name] for name in node.input if name in own and name in known]
        if node.input and all(not name or name in known for name in node.input) and (
                not weighed or node.op_type in _PICKING):
            results = _computed(node, {name: known[name] for name in node.input if name}, opset)
            if results and sum(value.nbytes for value in results) <= _LARGEST and (
                    not weighed or (results[0].size == 1 and weighed[0].size > 1)):
                known.update(zip(node.output, results))
                continue
        left.append(node)
    read = {name for node in left for name in node.input} | set(outputs)
    return left, {name: value for name, value in known.items() if name in read}


def _computed(node: Any, inputs: dict[str, np.ndarray], opset: int) -> list[np.ndarray]:
    """What an operator computes; nothing where the reference implementation cannot, as for a negative padding. Then
    the engine computes it, and the comparison with the network covers it as well."""
    from onnx.reference import ReferenceEvaluator

    try:
        return [np.asarray(value) for value in ReferenceEvaluator(node, opsets={"": opset}).run(None, inputs)]
    except Exception as error:
        _log.debug("the constant %s is left to the engine: %s", node.output[0], error)
        return []
