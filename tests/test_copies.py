"""Copies of networks: independent, equal, with the same names, whatever the cells hold."""

import threading
from types import MethodType

import mindspore as ms
import numpy as np
import pytest
from mindspore import amp, nn, ops

from mindspore_gs._cells import copy_network, forget_compilation, replace_cell
from mindspore_gs.errors import PruningError
from tests.helpers import evaluate, image, randomise


class Block(nn.Cell):
    def __init__(self, behind=None):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3, 3, pad_mode="pad", padding=1), nn.BatchNorm2d(3)
        self.behind = behind or nn.ReLU()

    def construct(self, x):
        return x + self.behind(self.bn(self.conv(x)))


class Jitted(Block):
    @ms.jit
    def construct(self, x):
        return x + self.behind(self.bn(self.conv(x)))


class Hidden(nn.Cell):
    """Runs cells that only a list, a tuple and a dict hold; a bound method, a function with a closure."""

    def __init__(self):
        super().__init__()
        self.block = Block()
        self.cells_of_mine = [self.block, (nn.ReLU(), {"again": self.block})]
        self.method = self.block.construct
        block = self.block
        self.function = lambda x: block(x) * 2

    def construct(self, x):
        first, (relu, table) = self.cells_of_mine
        return self.function(self.method(relu(first(table["again"](x)))))


def doubled(self, x):
    return 2 * self.bn(self.conv(x))


def set_on_the_object(net, how):
    block = net[1]
    if how == "bound":
        block.construct = MethodType(doubled, block)
    elif how == "jit":
        block.construct = ms.jit(block.construct)
    else:
        def construct(x):
            return block.bn(block.conv(x))

        block.construct = construct
    return net


def plain(*cells):
    return nn.SequentialCell(Block(), *(cells or (Block(),)))


def called(net, method, *arguments, **options):
    getattr(net[1], method)(*arguments, **options)
    return net


def half_hook(cell, *arguments):
    """A forward hook gets inputs and output and changes the output; a forward pre-hook changes the inputs."""
    return arguments[1] / 2 if len(arguments) == 2 else (arguments[0][0] / 2,)


def half_gradient(cell, *gradients):
    return tuple(gradient / 2 for gradient in gradients[0])


KINDS = {
    "plain": plain,
    "dropout2d": lambda: plain(Block(nn.Dropout2d(0.5))),
    "dropout": lambda: plain(Block(nn.Dropout(p=0.5))),
    "jitted": lambda: plain(Jitted()),
    "hidden": lambda: plain(Hidden()),
    "construct bound": lambda: set_on_the_object(plain(), "bound"),
    "construct under jit": lambda: set_on_the_object(plain(), "jit"),
    "construct a function": lambda: set_on_the_object(plain(), "function"),
    "recompute": lambda: called(plain(), "recompute"),
    "recompute of all": lambda: nn.SequentialCell(called(plain(nn.SequentialCell(Block())), "recompute")),
    "recompute of the output": lambda: called(plain(), "recompute", output_recompute=True),
    "forward hook": lambda: called(plain(), "register_forward_hook", half_hook),
    "forward pre-hook": lambda: called(plain(), "register_forward_pre_hook", half_hook),
    "backward hook": lambda: called(plain(), "register_backward_hook", lambda c, i, o: tuple(g / 2 for g in i)),
    "backward pre-hook": lambda: called(plain(), "register_backward_pre_hook", half_gradient),
    "to_float": lambda: plain().to_float(ms.float16),
    "to_float of a part": lambda: called(plain(), "to_float", ms.float16),
    "amp O1": lambda: amp.auto_mixed_precision(plain(), "O1"),
    "amp O2": lambda: amp.auto_mixed_precision(plain(), "O2"),
    "amp O3": lambda: amp.auto_mixed_precision(plain(), "O3"),
    "amp auto": lambda: amp.auto_mixed_precision(plain(), "auto"),
    "gradient operation": lambda: plain(Gradient()),
}


class Gradient(nn.Cell):
    """Holds operations that MindSpore composes, as cells around a training step do."""

    def __init__(self):
        super().__init__()
        self.block, self.grad, self.map = Block(), ops.GradOperation(get_all=True), ops.HyperMap()

    def construct(self, x):
        return self.map(ops.relu, self.block(x))


def gradients(net, x):
    """Of all weights, in evaluation mode."""
    step = ms.value_and_grad(lambda v: (net(v).float() ** 2).mean(), None, net.trainable_params())
    return [value.asnumpy() for value in step(x)[1]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_equal_and_independent(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # amp O1 writes source files
    net = randomise(KINDS[kind]())
    x = image(2, 3, 6, 6)
    before, before_gradients = evaluate(net, x).float().asnumpy(), gradients(net, x)
    twin = copy_network(net)
    assert [p.name for p in twin.get_parameters()] == [p.name for p in net.get_parameters()]
    assert [(path, type(cell)) for path, cell in twin.cells_and_names()] == [
        (path, type(cell)) for path, cell in net.cells_and_names()]
    assert not {id(p) for p in twin.get_parameters()} & {id(p) for p in net.get_parameters()}
    assert np.array_equal(evaluate(twin, x).float().asnumpy(), before)
    for parameter in net.trainable_params():
        parameter.set_data(ops.zeros_like(parameter))
    assert np.array_equal(evaluate(twin, x).float().asnumpy(), before)
    found = gradients(twin, x)
    assert all(np.abs(value).max() > 0 for value in found if value.ndim == 4)
    assert all(np.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in zip(found, before_gradients))


@pytest.mark.parametrize("kind", ["plain", "jitted", "dropout2d", "construct bound", "recompute", "amp O2", "hidden"])
def test_copies_in_graph_mode(kind, graph_mode):
    net = randomise(KINDS[kind]() if kind != "hidden" else plain(Block()))
    x = image(2, 3, 6, 6)
    before = evaluate(net, x).float().asnumpy()
    twin = copy_network(net)
    for parameter in twin.trainable_params():
        parameter.set_data(parameter * 2)
    assert np.abs(evaluate(twin, x).float().asnumpy() - before).max() > 0.1
    assert np.array_equal(evaluate(net, x).float().asnumpy(), before)


def test_three_dimensional_dropout():
    net = nn.SequentialCell(nn.Conv3d(2, 2, 1), nn.Dropout3d(0.5))
    x = image(1, 2, 3, 3, 3)
    assert np.array_equal(evaluate(copy_network(net), x).asnumpy(), evaluate(net, x).asnumpy())


def test_hooks_of_a_copy_see_the_copy():
    net, seen = plain(), []
    net[1].register_forward_hook(lambda cell, inputs, output: seen.append((cell, net[1])))
    twin = copy_network(net)
    evaluate(twin, image(1, 3, 6, 6))
    assert len(seen) == 1 and all(cell is twin[1] for cell in seen[0])


class Locked(nn.Cell):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


@pytest.mark.parametrize("net, where", [
    (lambda: nn.SequentialCell(plain(), nn.SequentialCell(nn.ReLU(), Locked())), r"cell '1\.1' \(Locked\)"),
    (Locked, "the Locked")])
def test_what_cannot_be_copied_is_named(net, where):
    with pytest.raises(PruningError, match=rf"attribute 'lock' of {where} cannot: .*lock.* Keep the lock outside of "
                                           "the cell, or give its class a __deepcopy__"):
        copy_network(net())


def test_an_operator_of_the_users_own():
    class Mine(ops.PrimitiveWithInfer):
        def __init__(self, size):
            super().__init__("Mine")
            self.size = size

    net = plain()
    net.operator = Mine(3)
    assert copy_network(net).operator.size == 3


def test_a_function_under_jit_goes_with_the_copy(mode):
    net = randomise(nn.SequentialCell(Block())).set_train(False)

    @ms.jit
    def scores(x):
        return net(x) * 3

    net.scores = scores
    x = image(1, 3, 4, 4)
    before = net.scores(x).asnumpy()
    twin = copy_network(net)
    for parameter in twin.get_parameters():
        parameter.set_data(ops.zeros_like(parameter))
    assert np.abs(twin.scores(x).asnumpy() - 3 * x.asnumpy()).max() < 1e-5
    assert np.array_equal(net.scores(x).asnumpy(), before) and np.abs(before - 3 * x.asnumpy()).max() > 0.1


class Step(nn.Cell):
    """What holds a network and is compiled with it."""

    def __init__(self, net):
        super().__init__(auto_prefix=False)
        self.net = net

    def construct(self, x):
        return self.net(x) + 1


@pytest.mark.parametrize("kind", [Block, Jitted])
def test_nothing_compiled_outlives_a_change(kind, mode):
    net = nn.SequentialCell(kind())
    randomise(net).set_train(False)
    around = Step(net).set_train(False)
    x = image(1, 3, 4, 4)

    @ms.jit
    def step(value):
        return net(value) + 1

    callables = (lambda v: net(v) + 1, around, step)
    for run in callables:
        run(x)
    replace_cell(net, "0.conv", randomise(nn.Conv2d(3, 3, 3, pad_mode="pad", padding=1), seed=7))
    forget_compilation(net)
    after = copy_network(net)(x).asnumpy() + 1
    for run in callables:
        assert np.abs(run(x).asnumpy() - after).max() < 1e-5


def test_a_copy_leaves_the_compiled_graphs_of_the_network(graph_mode):
    net = randomise(plain())
    evaluate(net, image(1, 3, 4, 4))
    compiled = set(net.compile_cache)
    assert compiled and not copy_network(net).compile_cache
    assert net.compile_cache == compiled
