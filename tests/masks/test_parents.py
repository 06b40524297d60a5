"""Classes whose methods call their parent's: Graph mode looks super() up elsewhere than Python does."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindspore_gs import ChannelPruner, PrunerFtCompressAlgo, PrunerKfCompressAlgo, prune
from mindspore_gs._cells import hands_itself_on
from mindspore_gs.errors import PruningError
from mindspore_gs.masks import Masks, masked_groups
from tests import operators
from tests.helpers import evaluate, image, randomise, relative_difference, train_steps

SHAPE = (1, 3, 8, 8)
MODES = pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])


class Base(nn.Cell):
    def __init__(self):
        super().__init__()
        self.a, self.relu, self.b = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)
        self.norm, self.c = nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3)

    def construct(self, x):
        return self.c(self.norm(self.b(self.relu(self.a(x)))))


class Plain(Base):
    def construct(self, x):
        return super().construct(x) * 2


class Named(Base):
    def construct(self, x):
        return super(Named, self).construct(x) * 2


class Inside(nn.Cell):
    def __init__(self):
        super().__init__()
        self.body = Plain()

    def construct(self, x):
        return self.body(x)


class OwnConvolution(nn.Conv2d):
    def construct(self, x):
        return super().construct(x) * 2


class ByAHelper(nn.Conv2d):
    """Another method than construct calls the parent's construct."""

    def twice(self, x):
        return super(ByAHelper, self).construct(x) * 2

    def construct(self, x):
        return self.twice(x)


class Projects(nn.Cell):
    def __init__(self, inputs, outputs, kernel):
        super().__init__()
        self.weight = nn.Conv2d(inputs, outputs, kernel).weight

    def project(self, x):
        return ops.conv2d(x, self.weight)

    def construct(self, x):
        return self.project(x)


class ProjectsTwice(Projects):
    """What construct calls calls the parent's."""

    def project(self, x):
        return super().project(x) * 2


def convolved(cell, x):
    return ops.conv2d(x, cell.weight)


class HandsItselfOn(Projects):
    def construct(self, x):
        return convolved(self, x)


class HandsALayerOn(nn.Cell):
    """Graph mode reads the weight of a layer that is handed on as it is."""

    def __init__(self, *sizes):
        super().__init__()
        self.layer = nn.Conv2d(*sizes)

    def construct(self, x):
        return convolved(self.layer, x)


class ReadsItsBias(nn.Conv2d):
    def __init__(self, *sizes):
        super().__init__(*sizes, has_bias=True)

    def construct(self, x):
        return super().construct(x) + self.bias.reshape(1, -1, 1, 1)


class NormAct(nn.BatchNorm2d):
    def construct(self, x):
        return ops.relu(super().construct(x))


class Up(nn.Conv2dTranspose):
    def construct(self, x):
        return ops.tanh(super().construct(x))


class DenseAct(nn.Dense):
    def construct(self, x):
        return ops.relu(super().construct(x))


class Around(nn.Cell):
    """Classes of the user's around a layer of MindSpore's each."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.norm = OwnConvolution(3, 8, 3, has_bias=True), nn.Conv2d(8, 8, 3), NormAct(8)
        self.c, self.d = ByAHelper(8, 8, 3), Up(8, 8, 3, has_bias=True)
        self.e, self.f = DenseAct(8, 8), nn.Dense(8, 4)

    def construct(self, x):
        x = self.d(self.c(self.norm(self.b(ops.relu(self.a(x))))))
        return self.f(self.e(x.mean((2, 3))))


class Direct(nn.Conv2d):
    def construct(self, x):
        return super().construct(x)


class OwnLayers(nn.Cell):
    def __init__(self, norm=False, kind=OwnConvolution):
        super().__init__()
        self.a, self.norm = (Direct(3, 8, 3), nn.BatchNorm2d(8)) if norm else (kind(3, 8, 3), nn.ReLU())
        self.b = nn.Conv2d(8, 4, 3)

    def construct(self, x):
        return self.b(self.norm(self.a(x)))


def finished(net, x):
    return net.b(x)


class TrainedAside(nn.Cell):
    """Hands itself on, and has a layer that only training reads."""

    def __init__(self):
        super().__init__()
        self.a, self.extra, self.b = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 3)

    def construct(self, x):
        x = self.a(x)
        if self.training:
            x = x + self.extra(x)
        return finished(self, x)


class LayersByName(nn.Cell):
    """Layers without BatchNorm, whose weights are masked themselves."""

    def __init__(self):
        super().__init__()
        self.layer0, self.layer1 = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 1)

    def construct(self, x):
        for k in range(2):
            x = getattr(self, f"layer{k}")(x)
        return x


def gradients(net, x):
    def loss(x):
        return (net(x) ** 2).mean()

    parameters = net.trainable_params()
    found = ms.value_and_grad(loss, None, parameters)(x)[1]
    return {p.name: np.abs(g.asnumpy()).sum() for p, g in zip(parameters, found)}


@MODES
@pytest.mark.parametrize("kind", [Plain, Named, Inside])
def test_networks_and_blocks_that_call_their_parent_train_in_every_phase(kind, mode):
    ms.set_context(mode=mode)
    x = image(8, 3, 8, 8)
    net = PrunerKfCompressAlgo({"input_shape": SHAPE}).apply(randomise(kind()))
    found = gradients(net.set_train(True), x)
    assert len(found) == 1 and min(found.values()) > 0 and net(x).shape == (8, 4, 8, 8)
    pruner = PrunerFtCompressAlgo({"prune_rate": 0.5})
    masked = pruner.apply(net)
    assert min(gradients(masked.set_train(True), x).values()) > 0
    assert relative_difference(evaluate(pruner.convert(masked), x), evaluate(masked, x)) < 1e-5


@MODES
def test_a_layer_whose_mask_is_in_its_batch_norm_trains(mode):
    ms.set_context(mode=mode)
    masked = ChannelPruner(prune_rate=0.5, input_shape=SHAPE).apply(randomise(OwnLayers(norm=True)))
    assert gradients(masked.set_train(True), image(2, 3, 8, 8))["a.weight"] > 0


def same_steps(masked, small, pruner, x, steps=2, rate=0.01):
    """Train both and compare what they compute, and the parameters of the small one with those of the masked one."""
    losses = [train_steps(each, steps, shape=x.shape, rate=rate) for each in (masked, small)]
    again = pruner.convert(masked)
    assert np.allclose(*losses, rtol=1e-4)
    assert relative_difference(evaluate(again, x), evaluate(masked, x)) < 1e-5
    assert all(np.allclose(a.asnumpy(), b.asnumpy(), atol=1e-4)
               for a, b in zip(small.get_parameters(), again.get_parameters()))


@MODES
@pytest.mark.parametrize("scop", [False, True], ids=["plain", "scop"])
def test_classes_around_layers_of_mindspores_are_masked_beneath_and_train_as_the_small_network_does(scop, mode):
    ms.set_context(mode=mode)
    net, x = randomise(Around()), image(8, 3, 8, 8)
    pruner = ChannelPruner(prune_rate=0.5, input_shape=SHAPE)
    if scop:
        net = PrunerKfCompressAlgo({"input_shape": SHAPE, "residual": "couple"}).apply(net)
        train_steps(net, 1, shape=x.shape)
        pruner = PrunerFtCompressAlgo({"prune_rate": 0.5})
    masked = pruner.apply(net)
    small = pruner.convert(masked)
    assert [small.a.weight.shape[0], small.c.weight.shape[0], small.e.weight.shape[0]] == [4] * 3
    assert relative_difference(evaluate(small, x), evaluate(masked, x)) < 1e-5
    same_steps(masked, small, pruner, x)
    assert type(Masks(masked).detached().a) is OwnConvolution and type(small.a) is OwnConvolution


def test_the_output_is_not_masked_in_the_place_of_parameters_that_the_class_reads_itself():
    with pytest.raises(PruningError, match="calls the construct of its parent class"):
        ChannelPruner(prune_rate=0.5, input_shape=SHAPE).apply(randomise(OwnLayers(kind=ReadsItsBias)))


def test_super_with_arguments_does_not_hand_self_on():
    assert not hands_itself_on(ByAHelper(3, 8, 3)) and hands_itself_on(HandsItselfOn(3, 8, 3))


@pytest.mark.parametrize("kind, method", [(ProjectsTwice, "project")])
def test_a_masked_weight_that_a_parent_reads_is_refused_before_training_and_pruned_without(kind, method):
    net = randomise(OwnLayers(kind=kind))
    with pytest.raises(PruningError, match=rf"{kind.__name__} \('a'\) calls the {method} of its parent .*Add 'a' to "
                                           "'ignore'"):
        ChannelPruner(prune_rate=0.5, input_shape=SHAPE).apply(net)
    assert prune(net, prune_rate=0.5, inputs=SHAPE).a.weight.shape[0] == 4


def test_masked_weights_that_are_asked_for_by_name_are_refused_before_training_and_pruned_without():
    net = randomise(operators.WeightsByName())
    with pytest.raises(PruningError, match=r"asks for 'w0' with getattr\(\).*Write self.name instead"):
        ChannelPruner(prune_rate=0.5, input_shape=SHAPE).apply(net)
    assert prune(net, prune_rate=0.5, inputs=SHAPE).w0.shape[0] == 3


def test_a_cell_that_hands_itself_on_is_refused_and_a_layer_may_be_handed_on():
    with pytest.raises(PruningError, match=r"asks for 'a.weight' with getattr\(\), or hands self on"):
        ChannelPruner(prune_rate=0.5, input_shape=SHAPE).apply(randomise(OwnLayers(kind=HandsItselfOn)))
    ms.set_context(mode=ms.GRAPH_MODE)
    masked = ChannelPruner(prune_rate=0.5, input_shape=SHAPE).apply(randomise(OwnLayers(kind=HandsALayerOn)))
    assert gradients(masked.set_train(True), image(2, 3, 8, 8))["a.layer.weight"] > 0


def test_a_cell_that_hands_itself_on_may_have_layers_that_only_training_reads():
    pruner = ChannelPruner(prune_rate=0.5, residual="couple", input_shape=SHAPE)
    masked = pruner.apply(randomise(TrainedAside()))
    assert masked_groups(masked)[0].members == ("a", "extra")
    small = pruner.convert(masked)
    assert small.extra.weight.shape == (4, 4, 1, 1)


def test_plain_cells_do_not_hand_themselves_on():
    net = nn.SequentialCell(OwnLayers(), nn.BatchNorm2d(4))
    assert not any(hands_itself_on(cell) for _, cell in net.cells_and_names())


def test_layers_that_are_asked_for_by_name_are_masked():
    masked = ChannelPruner(prune_rate=0.5, input_shape=SHAPE).apply(randomise(LayersByName()))
    assert gradients(masked.set_train(True), image(2, 3, 8, 8))["layer0.weight"] > 0


def test_a_tuple_of_all_weights_goes_on_holding_parameters():
    pruner = ChannelPruner(prune_rate=0.5, input_shape=SHAPE)
    masked = pruner.apply(randomise(operators.AllWeights()))
    assert [p.name for p in masked.weights] == [p.name for p in masked.trainable_params()]
    assert masked_groups(masked)[0].members == ("a",)
    small, x = pruner.convert(masked), image(2, 3, 8, 8)
    assert [p.shape[0] for p in small.weights] == [3, 3, 3, 4]
    assert relative_difference(evaluate(small, x), evaluate(masked, x)) < 1e-5
