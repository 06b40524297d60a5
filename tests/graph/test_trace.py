"""Tracing: what the graph says, guessing the input, errors, and that the network stays as it is."""

import dataclasses

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindspore_gs.errors import TraceError
from mindspore_gs.graph import trace, verify
from mindspore_gs.graph.ir import Graph, Node
from mindspore_gs.graph.rules import channel_rule
from tests import networks
from tests.helpers import evaluate, image, randomise, same_state, state


def test_the_graph_has_the_networks_own_parameter_names_and_shapes():
    net = networks.Long()
    graph = trace(net, (1, 3, 8, 8))
    assert dict(graph.graph.parameters) == {p.name: tuple(p.shape) for p in net.get_parameters()}
    assert dict(graph.cells) == {p.name: p.name.rsplit(".", 1)[0] for p in net.get_parameters()}
    assert graph.inputs == (((1, 3, 8, 8), "Float32"),)
    assert [n.op for n in graph.graph.nodes if n.op == "Conv2D"] == ["Conv2D"] * 8
    assert all(n.scope.startswith("Default") for n in graph.graph.nodes)
    verify(graph.graph)


def test_tensors_arrays_and_shapes_trace_the_same(mode):
    values = np.zeros((2, 3, 8, 8), np.float32)
    traced = [operators(trace(networks.Chain(), x)) for x in (ms.Tensor(values), values, (2, 3, 8, 8))]
    assert traced[0] == traced[1] == traced[2]
    assert traced[0][-1][1] == (2, 4, 8, 8)


def operators(graph):
    """The nodes without the names of values, which MindSpore numbers anew in each export."""
    return [(node.op, node.shape, node.scope, dict(node.attrs)) for node in graph.graph.nodes]


def test_the_network_stays_as_it_is(mode):
    net = randomise(networks.Long())
    net.layer1.set_train(True)
    net.bn0.set_train(False)
    net.fc.weight.requires_grad = False
    before, x = state(net), image(2, 3, 8, 8)
    trace(net, (1, 3, 8, 8)).groups("keep")
    assert same_state(before, state(net))
    expected = evaluate(net, x).asnumpy()
    trace(net, (1, 3, 8, 8))
    np.testing.assert_array_equal(evaluate(net, x).asnumpy(), expected)


def test_several_inputs_and_a_tuple_of_outputs():
    graph = trace(networks.TwoInputs(), (1, 3, 8, 8), (1, 2, 8, 8))
    assert graph.inputs == (((1, 3, 8, 8), "Float32"), ((1, 2, 8, 8), "Float32"))
    rows = {g.name: (g.size, g.blocked_by.reason.name if g.blocked_by else None) for g in graph.groups()}
    assert rows == {"left": (6, None), "right": (6, None), "conv": (8, "MIXES_CHANNELS"), "fc": (4, "REACHES_OUTPUT"),
                    "aux": (2, "REACHES_OUTPUT")}


def test_equal_networks_give_equal_graphs():
    first, second = (trace(networks.OptionA(), (1, 3, 8, 8)) for _ in range(2))
    assert operators(first) == operators(second)


def test_the_graph_is_frozen():
    graph = trace(nn.SequentialCell(nn.Conv2d(3, 4, 1)), (1, 3, 4, 4))
    with pytest.raises(dataclasses.FrozenInstanceError):
        graph.graph = None
    with pytest.raises(dataclasses.FrozenInstanceError):
        graph.graph.nodes[0].op = "ReLU"


@pytest.mark.parametrize("build, shape", [
    (networks.Chain, (1, 3, 32, 32)),
    (networks.OneChannel, (1, 1, 32, 32)),
    (lambda: nn.SequentialCell(nn.Conv2d(3, 4, 7, 2), nn.ReLU()), (1, 3, 224, 224)),
    (lambda: nn.SequentialCell(nn.Conv2d(1, 4, 3, pad_mode="pad", padding=1), nn.Flatten(), nn.Dense(4 * 28 * 28, 2)),
     (1, 1, 28, 28)),
], ids=["small", "grey", "large", "dense_28"])
def test_an_input_is_guessed_from_the_first_convolution(build, shape):
    assert trace(build()).inputs == ((shape, "Float32"),)


def test_a_failed_guess_says_how_to_pass_an_input():
    net = nn.SequentialCell(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Dense(4 * 13 * 13, 2))
    with pytest.raises(TraceError) as error:
        trace(net)
    said, _, reason = str(error.value).partition(" (Of the last size MindSpore says: ")
    assert said == ("SequentialCell takes no single image of 3 channels and size 32, 28, 64, 96, 224; pass "
                    "inputs to trace(), or 'input_shape': (1, 3, H, W) in the configuration.")
    assert "MatMul" in reason


def test_a_failed_guess_names_a_fault_that_is_not_of_the_size():
    """As of code that was piped into Python, which Graph mode cannot read."""
    scope = {"nn": nn, "__name__": __name__}
    exec("class Typed(nn.Cell):\n"  # noqa: S102
         "    def __init__(self):\n        super().__init__()\n        self.conv = nn.Conv2d(3, 4, 1)\n"
         "    def construct(self, x):\n        return self.conv(x)\n", scope)
    with pytest.raises(TraceError, match="MindSpore says: .*compile temporary source code"):
        trace(scope["Typed"]())


@pytest.mark.parametrize("inputs, got", [((), "one image is all that can be guessed"), (((1, 3, 8, 8),), "1 came")])
def test_a_cell_with_a_loss_is_named(inputs, got):
    with pytest.raises(TraceError) as error:
        trace(nn.WithLossCell(networks.Chain(), nn.CrossEntropyLoss()), *inputs)
    assert str(error.value) == (f"WithLossCell is called with 2 inputs (data, label), but {got}. If it computes a "
                                "loss, pass the network inside of it; else pass every input to trace(), or a list of "
                                "shapes as 'input_shape'.")


def test_open_sizes_are_refused():
    with pytest.raises(ValueError, match=r"inputs of fixed sizes, but got a tensor of shape \(-1, 3, 8, 8\)"):
        trace(networks.Chain(), ms.Tensor(shape=[None, 3, 8, 8], dtype=ms.float32))


def test_without_a_convolution_nothing_is_guessed():
    with pytest.raises(TraceError, match=r"^NoConvolution has no nn.Conv2d to guess an input from; pass inputs to"):
        trace(networks.NoConvolution())
    assert [g.name for g in trace(networks.NoConvolution(), (1, 12)).groups()] == ["fc1", "fc2"]


def test_inputs_that_do_not_fit_are_named():
    with pytest.raises(TraceError, match=r"Chain cannot be exported to MindIR with inputs of shape \(1, 5, 8, 8\), at"
                                         r".*; it does not run with them either: pass inputs that the network takes"):
        trace(networks.Chain(), (1, 5, 8, 8))


class TwoLoops(networks.Between):
    """Graph mode takes one loop in a generator, and no more."""

    def between(self, x):
        return sum(x * (i + k) for i in range(2) for k in range(2))


class ListOfParameters(networks.Between):
    """A list, which MindSpore does not look into."""

    def __init__(self):
        super().__init__()
        self.scales = [ms.Parameter(ms.Tensor(np.ones((1, 8, 1, 1), np.float32)), name="scale")]

    def between(self, x):
        return x * self.scales[0]


class WithoutSelf(networks.Between):
    """Python does not mind how the first parameter is called."""

    def between(this, x):  # noqa: N805
        return this.shift(x) * 2

    def shift(this, x):  # noqa: N805
        return x + 1


class WithoutPrefix(networks.Between):
    """Two cells that MindSpore does not name."""

    def __init__(self):
        super().__init__()
        self.insert_child_to_cell("more", nn.Conv2d(8, 8, 1))
        self.insert_child_to_cell("most", nn.Conv2d(8, 8, 1))

    def between(self, x):
        return self.most(self.more(x))


class SetsAnAttribute(networks.Between):
    """Keeps a feature map for later, in an attribute that is there already or not."""

    def __init__(self, known):
        super().__init__()
        if known:
            self.seen = None

    def between(self, x):
        self.seen = x
        return x


@pytest.mark.parametrize("build, remedy", [
    (lambda: SetsAnAttribute(True), "its code sets self.seen while it runs, which MindSpore exports for a Parameter"),
    (lambda: SetsAnAttribute(False), "its code sets self.seen while it runs, which MindSpore exports for a Parameter"),
    (WithoutSelf, r"call the first parameter of WithoutSelf.between\(this\) 'self' \(MindSpore says"),
    (TwoLoops, "the network runs with them in PyNative mode, so change what Graph mode does not take"),
    (ListOfParameters, "attributes of a cell or lie in a ParameterTuple, but in no list")])
def test_code_that_mindspore_does_not_export_is_not_blamed_on_the_inputs(build, remedy):
    with pytest.raises(TraceError, match=remedy):
        trace(build(), (1, 3, 8, 8))


def test_names_of_the_places_are_the_remedy_that_it_says():
    net = WithoutPrefix()
    with pytest.raises(TraceError, match="2 parameters of WithoutPrefix are called 'weight', as auto_prefix=False, "):
        trace(net, (1, 3, 8, 8))
    for name, parameter in net.parameters_and_names():
        parameter.name = name
    assert [group.size for group in trace(net, (1, 3, 8, 8)).groups() if group.blocked_by is None] == [6, 8, 8, 8]


def test_a_refused_export_leaves_mindspores_syntax_as_it_was():
    before = ms.get_context("jit_syntax_level")
    with pytest.raises(TraceError):
        trace(networks.Chain(), (1, 5, 8, 8))
    assert ms.get_context("jit_syntax_level") == before != ms.STRICT


@pytest.mark.parametrize("value", [None, 3, networks.Chain], ids=["none", "int", "class"])
def test_what_is_no_cell_is_refused(value):
    with pytest.raises(TypeError, match=r"trace\(\) takes a mindspore.nn.Cell, but got"):
        trace(value, (1, 3, 8, 8))


@pytest.mark.parametrize("norms", [ms.float16, ms.float32], ids=["all half", "norms whole"])
def test_mixed_precision_hides_nothing(norms):
    """Casts of activations and of parameters stand between the operators then."""
    net = networks.Identity().to_float(ms.float16)
    for _, cell in net.cells_and_names():
        if isinstance(cell, nn.BatchNorm2d):
            cell.to_float(norms)
    expected, found = trace(networks.Identity(), (1, 3, 8, 8)), trace(net, (1, 3, 8, 8))
    assert found.pairs == expected.pairs and len(found.pairs) > 2
    for residual in ("keep", "couple"):
        assert [(g.members, g.size, g.blocked_by and g.blocked_by.reason) for g in found.groups(residual)] == [
            (g.members, g.size, g.blocked_by and g.blocked_by.reason) for g in expected.groups(residual)]


def node(name, *inputs):
    return Node(name, "ReLU", inputs, scope="Default/relu")


BROKEN = {
    "undefined": ((node("a", "x"), node("b", "ghost")), ("b",), r"ReLU \(Default/relu\) reads 'ghost', which nothing"),
    "out of order": ((node("b", "a"), node("a", "x")), ("b",), r"reads 'a', which nothing before it defines"),
    "twice": ((node("a", "x"), node("a", "x")), ("a",), r"defines 'a' a second time"),
    "shadows an input": ((node("x", "x"),), ("x",), r"defines 'x' a second time"),
    "no such output": ((node("a", "x"),), ("z",), r"the network returns 'z', which nothing defines"),
}


@pytest.mark.parametrize("nodes, outputs, message", BROKEN.values(), ids=BROKEN)
def test_a_broken_graph_is_refused_by_name(nodes, outputs, message):
    with pytest.raises(TraceError, match=message):
        verify(Graph(nodes, {}, {}, {"x": (1, 4)}, outputs))


def test_a_second_rule_for_an_operator_is_refused():
    with pytest.raises(ValueError, match="operator Conv2D has a channel rule already"):
        channel_rule("Conv2D")(lambda node, flows, channels: None)


class BranchesOnNumPy(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def construct(self, x):
        y = self.conv(x)
        return y + 1 if y.asnumpy().mean() > 0 else y


def test_what_cannot_be_exported_is_refused_with_the_users_own_line():
    line = BranchesOnNumPy.construct.__code__.co_firstlineno + 2
    with pytest.raises(TraceError, match=rf"at .*test_trace.py:{line}; its 'construct' computes with Python or NumPy"):
        trace(BranchesOnNumPy(), (1, 3, 8, 8))
    with pytest.raises(TraceError, match=r"of shape \(3, 8, 8\), at .*test_trace.py:\d+; it does not run with them"):
        trace(nn.SequentialCell(OwnConv()), (3, 8, 8))


class OwnConv(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def construct(self, x):
        return self.conv(x)
