"""What reads constants only is computed when the file is written; weights and inputs are left alone."""

import numpy as np
import pytest

from mindspore_gs.export.onnx_constants import fold_constants

helper = pytest.importorskip("onnx", reason="onnx is not installed (extra 'onnx')").helper


def nodes():
    return [helper.make_node("Reshape", ["numbers", "shape"], ["column"]),
            helper.make_node("ReduceSum", ["column", "axes"], ["total"], keepdims=0),
            helper.make_node("Mul", ["weight", "total"], ["scaled"]), helper.make_node("Add", ["x", "scaled"], ["y"])]


ARRAYS = {"numbers": np.arange(6, dtype=np.float32), "shape": np.array([3, 2]), "axes": np.array([0]),
          "weight": np.ones(2, np.float32), "unused": np.zeros(4)}


def test_a_chain_of_constants_is_one_constant():
    left, arrays = fold_constants(nodes(), ARRAYS, ["weight"], ["y"], 17)
    assert [node.op_type for node in left] == ["Mul", "Add"]
    assert set(arrays) == {"weight", "total"}
    np.testing.assert_array_equal(arrays["total"], [6, 9])
    assert arrays["total"].dtype == np.float32


def test_what_the_network_returns_stays_known():
    left, arrays = fold_constants(nodes()[:1], ARRAYS, [], ["column"], 17)
    assert not left and arrays["column"].shape == (3, 2)


def test_a_large_result_is_left_to_the_engine():
    node = helper.make_node("Expand", ["one", "size"], ["large"])
    arrays = {"one": np.ones(1, np.float32), "size": np.array([1 << 20])}
    left, kept = fold_constants([node], arrays, [], ["large"], 17)
    assert left == [node] and set(kept) == {"one", "size"}


def test_one_number_of_a_weight_is_a_constant():
    """Several numbers of a weight stay an operator, so that the weight keeps its name."""
    one = helper.make_node("Slice", ["weight", "begin", "end"], ["first"])
    two = helper.make_node("Slice", ["weight", "begin", "last"], ["both"])
    arrays = {"weight": np.array([8, 16, 32], np.float32), "begin": np.array([0]), "end": np.array([1]),
              "last": np.array([2])}
    left, kept = fold_constants([one, two], arrays, ["weight"], ["first", "both"], 17)
    assert left == [two] and set(kept) == {"weight", "begin", "last", "first"}
    np.testing.assert_array_equal(kept["first"], [8])


def test_what_the_reference_implementation_cannot_compute_is_left_to_the_engine():
    """Running maxima are moved by a padding that takes numbers away on the other side."""
    pad = helper.make_node("Pad", ["numbers", "moves", "zero"], ["moved"])
    arrays = {"numbers": np.arange(6, dtype=np.float32), "moves": np.array([1, -1]), "zero": np.float32(0)}
    left, kept = fold_constants([pad], arrays, [], ["moved"], 17)
    assert left == [pad] and set(kept) == set(arrays)
