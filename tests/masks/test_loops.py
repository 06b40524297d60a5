"""What training loops do to all parameters of a network, or to a weight that they reach through its cell."""

import copy
import pickle

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindspore_gs import ChannelPruner
from mindspore_gs.errors import CheckpointError, PruningError
from tests.helpers import evaluate

SHAPE = (4, 3)
X = ms.Tensor(np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32))
LABEL = ms.Tensor([0, 1, 1, 0], ms.int32)


class Net(nn.Cell):
    """Two weights that are masked by value, and a pair of convolution and BatchNorm."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.head = nn.Dense(6, 8), nn.Dense(8, 6), nn.Dense(6, 2)
        self.conv, self.bn = nn.Conv2d(1, 6, 1), nn.BatchNorm2d(6)

    def construct(self, x):
        x = ops.relu(self.bn(self.conv(x.reshape((-1, 1, 1, 3))))).mean((2, 3))
        return self.head(ops.relu(self.fc2(ops.relu(self.fc1(x)))))


def masked():
    ms.set_seed(3)
    pruner = ChannelPruner(prune_rate=0.5, input_shape=SHAPE)
    return pruner, pruner.apply(Net())


def difference(first, second, x):
    return abs(evaluate(first, x).asnumpy() - evaluate(second, x).asnumpy()).max()


def masks_of(net):
    return {p.name: p.asnumpy() for p in net.get_parameters() if p.name.endswith((".mask", "out_index"))}


def test_a_weight_that_is_reached_through_its_cell_is_the_parameter():
    pruner, net = masked()
    net.fc1.weight.requires_grad = False                    # freezes it
    assert "fc1.weight" not in [p.name for p in net.trainable_params()] and net.fc1.weight.name == "fc1.weight"
    net.fc1.weight.set_data(ms.Tensor(np.full((8, 6), 2, np.float32)))
    values = {p.name: p for p in net.get_parameters()}["fc1.weight"].asnumpy()
    assert (values == 2).all() and set(net.fc1.weight.asnumpy().ravel()) == {0, 2}
    net.fc1.weight = ms.Parameter(ms.Tensor(np.full((8, 6), 3, np.float32)), name="fc1.weight")  # another one
    net.fc1.weight += 1
    assert set(net.fc1.weight.asnumpy().ravel()) == {0, 4}
    assert difference(net, pruner.convert(net), X) < 1e-6


def test_changes_of_the_product_are_refused():
    weight = masked()[1].fc1.weight
    for change in (lambda: weight.__setitem__(0, 1.0), lambda: weight.mul_(2), lambda: weight.copy_(weight),
                   lambda: ops.assign(weight, weight), lambda: ops.AssignAdd()(weight, weight),
                   lambda: ops.scatter_update(weight, ms.Tensor([0]), ops.ones((1, 6)))):
        with pytest.raises(PruningError, match=r"'fc1.weight' is masked.*get_parameters"):
            change()


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def test_the_gradient_of_what_is_read_is_that_of_the_parameter(mode):
    """It was zero in PyNative mode, silently, and a failure of MindSpore's own in Graph mode."""
    ms.set_context(mode=mode)
    net = masked()[1]
    parameter = next(p for p in net.get_parameters() if p.name == "fc1.weight")
    expected = ms.grad(net, None, [parameter])(X)[0].asnumpy()
    assert np.abs(expected).sum() > 0
    for weights in ([net.fc1.weight], (net.fc1.weight,), net.fc1.weight):
        found = ms.value_and_grad(net, None, weights)(X)[1]
        assert np.array_equal((found if isinstance(found, ms.Tensor) else found[0]).asnumpy(), expected)
    found = ops.GradOperation(get_by_list=True)(net, [net.fc1.weight])(X)[0]
    assert np.array_equal(found.asnumpy(), expected)


def test_what_reaches_the_parameter_by_other_ways():
    net = masked()[1]
    parameter = next(p for p in net.get_parameters() if p.name == "fc1.weight")
    ops.assign(parameter, ops.ones((8, 6)))                # a parameter is written as ever
    net.fc1.weight.requires_grad_(False)
    assert "fc1.weight" not in [p.name for p in net.trainable_params()]
    assert set(net.fc1.weight.asnumpy().ravel()) == {0, 1}
    net.fc1.weight.data = ops.ones((8, 6)) * 2
    assert (parameter.asnumpy() == 2).all()
    net.fc1.insert_param_to_cell("weight", ms.Parameter(ops.ones((8, 6)) * 3, name="fc1.weight"))
    assert set(net.fc1.weight.asnumpy().ravel()) == {0, 3}


def test_another_shape_in_the_place_of_a_masked_parameter_is_refused():
    with pytest.raises(PruningError, match=r"shape \(8, 6\), but got a parameter of shape \(8, 4\)"):
        masked()[1].fc1.weight = ms.Parameter(ops.ones((8, 4)), name="fc1.weight")


@pytest.mark.parametrize("name, cell", [("fc1", nn.Dense(6, 8)), ("bn", nn.BatchNorm2d(6))], ids=["dense", "norm"])
def test_a_cell_in_the_place_of_a_masked_one_is_refused(name, cell):
    pruner, net = masked()
    setattr(net, name, cell)
    with pytest.raises(PruningError, match=f"had a masked cell at '{name}'"):
        pruner.convert(net)


def test_a_head_of_other_classes_may_take_the_place_of_one_without_masks():
    pruner, net = masked()
    net.head = nn.Dense(6, 7)
    small = pruner.convert(net)
    assert small.head.weight.shape == (7, 3) and difference(net, small, X) < 1e-6


average = ops.MultitypeFuncGraph("average")


@average.register("Tensor", "Tensor", "Tensor")
def _averaged(decay, mean, value):
    return ops.assign(mean, decay * mean + (1 - decay) * value)


class Average(nn.Cell):
    """The moving average of all parameters, as training scripts write it."""

    def __init__(self, net, decay):
        super().__init__()
        self.values = ms.ParameterTuple(list(net.get_parameters()))
        self.means = self.values.clone("ema", init="same")
        self.decay, self.map = ms.Tensor(decay, ms.float32), ops.HyperMap()

    def construct(self):
        return self.map(ops.partial(average, self.decay), self.means, self.values)


def test_an_average_of_all_parameters_keeps_the_masks(mode, tmp_path):
    pruner, net = masked()
    before, ema = masks_of(net), Average(net, 0.3)
    for p in ema.means:
        p.set_data(ms.Tensor(0.9999 * p.asnumpy()))
    ema()
    path = str(tmp_path / "step.ckpt")
    ms.save_checkpoint([{"name": p.name, "data": p} for p in (*net.get_parameters(), *ema.means)], path)
    assert difference(pruner.convert(net), pruner.convert(Net(), path), X) == 0
    for p, mean in zip(ema.values, ema.means):
        p.set_data(mean)
    small = pruner.convert(net)
    assert small.fc1.weight.shape == (4, 3) and difference(net, small, X) < 1e-6
    assert all(((masks_of(net)[name] != 0) == (before[name] != 0)).all() for name in before)


@pytest.mark.parametrize("make", [lambda p: nn.Adam(p, 0.05, weight_decay=0.1), lambda p: nn.Momentum(
    p, 0.1, 0.9, weight_decay=0.1)], ids=["adam", "momentum"])
def test_masks_that_were_unfrozen_with_all_else_do_not_change(make):
    pruner, net = masked()
    for p in net.get_parameters():
        p.requires_grad = "moving" not in p.name
    step = nn.TrainOneStepCell(nn.WithLossCell(net, nn.CrossEntropyLoss()), make(net.trainable_params())).set_train()
    for _ in range(3):
        step(X, LABEL)
    small = pruner.convert(net)
    assert small.fc1.weight.shape == (4, 3) and difference(net, small, X) < 1e-6


def test_a_file_with_student_and_teacher_is_refused(tmp_path):
    pruner, net = masked()
    both = nn.CellList([net, copy.deepcopy(net)])
    path = str(tmp_path / "both.ckpt")
    ms.save_checkpoint(both, path)
    with pytest.raises(CheckpointError, match="several networks, whose names begin with '[01].' and '[01].'"):
        pruner.convert(Net(), path)


def test_pruners_and_plans_are_pickled_and_copied():
    pruner, net = masked()
    again, plan = pickle.loads(pickle.dumps((pruner, pruner.plan(net))))
    assert plan == pruner.plan(net) and again._config == pruner._config == copy.deepcopy(pruner)._config
    with pytest.raises(TypeError):
        again._config.rates["fc1"] = 0.5


@pytest.mark.parametrize("when", ["before", "after"])
def test_casts_that_a_library_of_models_puts_around_layers(when, tmp_path):
    pruner = ChannelPruner(prune_rate=0.5, input_shape=SHAPE)
    net = Net()
    if when == "before":
        _half_precision(net)
    net = pruner.apply(net)
    if when == "after":
        _half_precision(net)
    small = pruner.convert(net)
    assert small.fc1._op.weight.shape == (4, 3) and difference(net, small, X) < 1e-3
    path = str(tmp_path / "masked.ckpt")
    ms.save_checkpoint(net, path)
    assert "fc1.mask" in ms.load_checkpoint(path)
    assert difference(small, pruner.convert(Net(), path), X) < 1e-3


class _OutputTo32(nn.Cell):
    """As mindcv, mindocr and mindyolo have it."""

    def __init__(self, op):
        super().__init__(auto_prefix=False)
        self._op = op

    def construct(self, x):
        return ops.cast(self._op(x), ms.float32)


def _half_precision(net):
    for name, cell in net.name_cells().items():
        if isinstance(cell, (nn.Dense, nn.Conv2d)):
            net._cells[name] = _OutputTo32(cell.to_float(ms.float16))
