"""The knockoff phase in any loop: whatever the network looks like inside, and however it is called and trained."""

from functools import partial

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindspore_gs._cells import copy_network
from mindspore_gs.errors import PruningError
from mindspore_gs.pruner.scop.cells import KfConv2d
from mindspore_gs.pruner.scop.phase import end_phase, in_phase, phase_of, scales, start_phase
from tests import loops
from tests.batches import Features
from tests.helpers import evaluate, image, randomise, relative_difference, same_state, state, train_steps

X, MASK = image(11, 3, 8, 8), image(11, 1, 4, 4, seed=1)


def begin(net, pairs=None, inputs=None, **options):
    """The phase on a network with random weights, in training mode."""
    net = randomise(net)
    return start_phase(net, pairs or net.pairs, inputs=inputs or (image(1, 3, 8, 8),), **options).set_train(True)


def gradients(net, *inputs):
    """The largest gradient of each trainable parameter, by name."""
    def loss(*values):
        return (first(net(*values)) ** 2).mean()

    step = ms.value_and_grad(loss, None, net.trainable_params())
    return {p.name: float(np.abs(g.asnumpy()).max()) for p, g in zip(net.trainable_params(), step(*inputs)[1])}


def first(output):
    return output[0] if isinstance(output, tuple) else output


def assert_learns(net, *inputs):
    """The scales, and nothing else, have a gradient."""
    found = gradients(net, *inputs)
    assert set(found) == {layer.kfscale.name for layer in phase_of(net).layers.values()} and min(found.values()) > 0


CALLS = {"positional": ((X,), {}), "both": ((X, MASK), {}), "one by name": ((X,), {"mask": MASK}),
         "all by name": ((), {"image": X, "mask": MASK}), "number": ((X,), {"scale": 2.0}),
         "none": ((X, None, 3.0), {})}


@pytest.mark.parametrize(("inputs", "named"), CALLS.values(), ids=CALLS)
def test_keywords_and_options(inputs, named, mode):
    expected = randomise(loops.Options()).set_train(False)(*inputs, **named)
    net = begin(loops.Options())
    got = net(*inputs, **named)
    assert got.shape == (11, 4) and np.abs(got.asnumpy() - expected.asnumpy()).max(1).min() > 1e-3
    assert np.array_equal(net.set_train(False)(*inputs, **named).asnumpy(), expected.asnumpy())


@pytest.mark.parametrize("batch", [(X, MASK), [X, MASK], {"image": X, "mask": MASK}], ids=["tuple", "list", "dict"])
def test_nested_inputs(batch, mode):
    one = {"image": X[:1], "mask": MASK[:1]} if isinstance(batch, dict) else type(batch)((X[:1], MASK[:1]))
    net = begin(loops.Containers(), inputs=(one,))
    assert net(batch).shape == (11, 4)
    expected = randomise(loops.Containers()).set_train(False)(batch).asnumpy()
    assert np.abs(net(batch).asnumpy() - expected).max(1).min() > 1e-3


def test_whole_numbers_beside_the_images(mode):
    numbers = ms.Tensor(np.arange(11) % 7, ms.int32)
    net = begin(loops.Conditioned(), inputs=(image(1, 3, 8, 8), ms.Tensor([0], ms.int32)))
    assert net(X, numbers).shape == (11, 4)
    assert_learns(net, X, numbers)


@pytest.mark.parametrize("axis", [1, 3], ids=str)
def test_samples_along_another_axis_of_the_input(axis, mode):
    class Moved(Features):
        def construct(self, x):
            return self.embed(x.swapaxes(0, self.axis))

    net = Moved()
    net.axis = axis
    net = begin(net, inputs=(image(1, 3, 8, 8).swapaxes(0, axis),), batch_axis=axis)
    assert net(X.swapaxes(0, axis)).shape == (11, 4)


@pytest.mark.parametrize("build", [loops.Jitted, loops.JittedBlock, loops.on_the_instance],
                         ids=["jit", "jit inside", "instance"])
def test_a_construct_that_is_compiled_or_replaced(build, mode):
    net = randomise(build())
    expected = net.set_train(False)(X).asnumpy()
    pairs = getattr(net, "pairs", Features.pairs)
    net = start_phase(net, pairs, inputs=(X[:1],))
    assert np.abs(net.set_train(True)(X).asnumpy() - expected).max(1).min() > 1e-3
    assert_learns(net, X)
    np.testing.assert_allclose(net.set_train(False)(X).asnumpy(), expected, rtol=1e-6)
    end_phase(net)
    np.testing.assert_allclose(net.set_train(False)(X).asnumpy(), expected, rtol=1e-6)


def test_what_was_compiled_around_it_is_compiled_again(mode):
    net = randomise(Features()).set_train(True)

    @ms.jit
    def step(x):
        return net(x)

    around = nn.SequentialCell(net)
    dense, outside = step(X).asnumpy(), around(X).asnumpy()
    start_phase(net, net.pairs, inputs=(X[:1],))
    mixed = step(X).asnumpy()
    assert mixed.shape == (11, 4) and np.abs(mixed - dense).max(1).min() > 1e-3
    assert np.abs(around(X).asnumpy() - outside).max(1).min() > 1e-3
    end_phase(net)
    np.testing.assert_allclose(step(X).asnumpy(), dense, rtol=1e-4, atol=1e-5)


WITH_HOOKS = {"use_reentrant": False}
RECOMPUTED = [partial(loops.Recomputed),
              partial(loops.Recomputed, **WITH_HOOKS, early_stop=False),  # early, a single operator fails in MindSpore
              *(partial(kind, **options) for kind in (loops.RecomputedBlock, loops.RecomputedRoot)
                for options in ({}, WITH_HOOKS))]


@pytest.mark.parametrize("build", RECOMPUTED, ids=["cells", "cells, hooks", "block", "block, hooks", "network",
                                                  "network, hooks"])
def test_recompute(build, mode):
    ms.set_seed(5)
    net = begin(build())
    assert_learns(net, X)
    end_phase(net)
    dense = randomise(build())
    found, expected = gradients(net.set_train(True), X), gradients(dense.set_train(True), X)
    assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("kind", ["sequential", "cells", "list", "tuple"])
def test_cells_under_several_names(kind, mode):
    net = randomise(loops.Alias(kind))
    expected = evaluate(net, X).asnumpy()
    before = state(net)
    start_phase(net, net.pairs, inputs=(X[:1],))
    assert np.array_equal(evaluate(net, X).asnumpy(), expected)
    assert net.body[0] is net.conv and isinstance(net.conv, KfConv2d)
    assert_learns(net.set_train(True), X)
    end_phase(net)
    assert type(net.conv) is nn.Conv2d and net.body[0] is net.conv and net.body[4] is net.bn2
    assert same_state(before, state(net.set_train(False)))


def test_two_parts_of_one_network(mode):
    net = randomise(loops.TwoParts())
    for part in (net.left, net.right):
        start_phase(part, part.pairs, inputs=(X[:1],))
    names = [p.name for p in net.get_parameters()]
    assert len(set(names)) == len(names)
    assert {name for name in names if "kfscale" in name} == {
        f"{part}.{conv}.kfscale" for part in ("left", "right") for conv in ("conv", "conv2")}
    optimizer = nn.Adam([p for p in net.trainable_params() if "kfscale" in p.name], 0.01)
    net.set_train(True)

    def loss(x, y):
        return (net(x, y) ** 2).mean()

    step = ms.value_and_grad(loss, None, optimizer.parameters)
    optimizer(step(X, 2 * X)[1])
    for part in (net.left, net.right):
        assert all(values.std() > 0 for values in scales(part).values())


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_the_mode_before_is_the_mode_afterwards(training, mode):
    net = randomise(Features()).set_train(training)
    net.bn.set_train(not training)
    before = state(net)
    start_phase(net, net.pairs, inputs=(X[:1],))
    assert net.training is training and net.conv.training is training and net.conv.share.training is training
    assert net.bn.training is not training
    if training:
        assert_learns(net, X)
    assert same_state(before, state(end_phase(net)))


def test_random_numbers_in_the_forward_pass(mode):
    net = begin(loops.Random())
    assert [y.shape for y in net(X)] == [(11, 4), (11, 4)]
    assert_learns(net, X)


def test_a_shape_that_is_not_known_when_it_is_compiled(mode):
    net = begin(Features())
    net.set_inputs(ms.Tensor(shape=[None, 3, 8, 8], dtype=ms.float32))
    for count in (9, 16, 20):
        assert net(image(count, 3, 8, 8)).shape == (count, 4)
    assert_learns(net, X)


def test_every_batch_norm_uses_its_moving_statistics_in_the_phase():
    net = randomise(loops.EveryNorm())
    before = state(net)
    kinds = {path: type(cell) for path, cell in net.cells_and_names()}
    start_phase(net, net.pairs, inputs=(X[:1],))
    values = {p.name: p.asnumpy().copy() for p in net.get_parameters()}
    twin = copy_network(net)
    for layer in phase_of(twin).layers.values():
        layer.kfscale.set_data(ms.Tensor(np.full(layer.kfscale.shape, 0.5, np.float32)))
        layer.share = AllReal()
    expected = evaluate(net, X).asnumpy()
    np.testing.assert_allclose(twin.set_train(True)(X).asnumpy(), expected, rtol=1e-3, atol=1e-4)
    train_steps(net, 2, rate=0.5)
    assert {p.name for p in net.get_parameters() if not np.array_equal(values[p.name], p.asnumpy())} == {
        "conv.kfscale", "conv2.kfscale"}
    end_phase(net)
    assert kinds == {path: type(cell) for path, cell in net.cells_and_names()}
    assert same_state(before, state(net.set_train(False)))


class AllReal(nn.Cell):
    """No knockoff is mixed in."""

    def construct(self, scale):
        return ms.ops.ones_like(scale).reshape((-1,))


def test_the_batch_norm_of_mint_stays_in_evaluation_mode():
    """Its operator has no kernel on a CPU, so that it cannot be run here."""
    net = Features()
    net.bn = ms.mint.nn.BatchNorm2d(6)
    start_phase(net, {"conv2": "bn2"})
    assert net.set_train(True).bn.training is False and isinstance(net.bn, ms.mint.nn.BatchNorm2d)
    end_phase(net)
    assert net.bn.training is True and type(net.bn) is ms.mint.nn.BatchNorm2d


def test_a_convolution_without_batch_norm(mode):
    net = begin(Features(), {"conv": "bn", "conv2": None})
    assert net.conv2.bn is None and type(net.bn2) is nn.BatchNorm2d
    assert_learns(net, X)


def test_scales_are_named_after_their_convolution_wherever_the_network_is():
    around = nn.SequentialCell(randomise(Features()))
    part = around[0]
    assert part.conv.weight.name == "0.conv.weight"
    start_phase(part, part.pairs)
    assert [p.name for p in around.trainable_params()] == ["0.conv.kfscale", "0.conv2.kfscale"]


def test_shared_weights_have_scales_of_different_names():
    class Shared(Features):
        def __init__(self):
            super().__init__()
            self.conv3, self.bn3 = nn.Conv2d(6, 5, 3), nn.BatchNorm2d(5)
            self.conv3.weight = self.conv2.weight

    net = Shared()
    start_phase(net, net.pairs | {"conv3": "bn3"})
    assert [p.name for p in net.trainable_params()] == ["conv.kfscale", "conv2.kfscale", "conv3.kfscale"]


def test_a_copy_is_a_network_of_its_own():
    net = begin(Features())
    twin = copy_network(net)
    train_steps(twin, 2, rate=0.5)
    assert all((values == 0.5).all() for values in scales(net).values())
    assert all(values.std() > 0 for values in scales(twin).values())
    assert type(end_phase(twin)) is Features and in_phase(net)
    assert relative_difference(evaluate(twin, X), evaluate(net, X)) <= 1e-6


def test_the_networks_own_code_may_read_its_convolutions(mode):
    class Reading(Features):
        def construct(self, x):
            return self.embed(x) * self.conv.stride[0] + self.conv2.weight.sum()

    expected = evaluate(randomise(Reading()), X).asnumpy()
    net = begin(Reading())
    assert np.array_equal(evaluate(net, X).asnumpy(), expected)
    assert_learns(net.set_train(True), X)
    with pytest.raises(AttributeError, match="nothing"):
        net.conv.nothing  # noqa: B018


def test_the_phase_begins_once_and_ends_once():
    net = begin(Features())
    with pytest.raises(PruningError, match="is in the knockoff phase already"):
        start_phase(net, net.pairs)
    end_phase(net)
    with pytest.raises(PruningError, match="is not in the knockoff phase"):
        end_phase(net)
