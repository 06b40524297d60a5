"""Evaluation == converted == reloaded MindIR == file of packed bits, for networks of many kinds, in both modes."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.common.dtype import QuantDtype

from mindspore_gs import SlbQuantAwareTraining, export_mindir, load_mindir, load_quantized, save_quantized
from mindspore_gs.quantization.slb import load_float
from mindspore_gs.quantization.slb.layers import slb_layers
from mindspore_gs.quantization.slb.slb_quant import SlbLayer
from tests import networks
from tests.helpers import evaluate, image, randomise, relative_difference, same_state, state, train_steps
from tests.quantization.networks import Decayed, Kinds, ReadsWeight, Tied

A8 = {"enable_act_quant": True}
SLOW = pytest.mark.slow
CASES = [
    pytest.param(networks.Chain, QuantDtype.INT1, {}, id="chain-W1"),
    pytest.param(Kinds, QuantDtype.INT2, {"dense": True, **A8}, id="kinds-W2A8-dense", marks=SLOW),
    pytest.param(networks.SharedWeight, QuantDtype.INT2, {}, id="shared-W2", marks=SLOW),
    pytest.param(networks.Grouped, QuantDtype.INT1, A8, id="grouped-W1A8", marks=SLOW),
    pytest.param(networks.Identity, QuantDtype.INT4, A8, id="identity-W4A8", marks=SLOW),
    pytest.param(networks.Projection, QuantDtype.INT2, {"dense": True}, id="projection-W2-dense", marks=SLOW),
]


def train(net, x):
    """Two steps towards outputs of zero, whatever their shape."""
    optimizer = nn.Momentum(net.trainable_params(), 0.1, 0.9)

    def forward(image):
        return (net(image) ** 2).mean()

    step = ms.value_and_grad(forward, None, optimizer.parameters)
    net.set_train(True)
    for _ in range(2):
        optimizer(step(x)[1])


@pytest.mark.parametrize("constructor, kind, options", CASES)
def test_evaluation_converted_mindir_and_file_are_equal(constructor, kind, options, mode, tmp_path):
    x = image(2, 3, 8, 8)
    slb = SlbQuantAwareTraining(quant_dtype=kind, **options)
    net = slb.apply(randomise(constructor()))
    start = net.trainable_params()[0].asnumpy().copy()
    train(net, x)
    assert np.abs(net.trainable_params()[0].asnumpy() - start).max() > 1e-5
    expected = evaluate(net, x).asnumpy()
    before = state(net)
    small = slb.convert(net)
    assert same_state(before, state(net))
    assert not any(isinstance(cell, SlbLayer) for _, cell in small.cells_and_names())
    assert [p.name for p in small.get_parameters()] == [p.name for p in constructor().get_parameters()]
    assert np.array_equal(evaluate(net, x).asnumpy(), expected)
    assert relative_difference(evaluate(small, x).asnumpy(), expected) < 1e-5
    assert np.abs(expected).max() > 1e-3
    mindir = load_mindir(export_mindir(small, x, tmp_path / "small"))
    assert relative_difference(mindir(x).asnumpy(), expected) < 1e-5
    again = load_quantized(constructor, save_quantized(small, tmp_path / "small"))
    assert np.array_equal(evaluate(again, x).asnumpy(), evaluate(small, x).asnumpy())
    assert save_quantized(again, tmp_path / "again").read_bytes() == (tmp_path / "small.slb").read_bytes()


@pytest.mark.parametrize("kind, bits", [(QuantDtype.INT1, 1), (QuantDtype.INT2, 2), (QuantDtype.INT4, 4)])
def test_the_search_starts_from_the_pretrained_weights(kind, bits):
    """The soft weights are the float weights, clipped to what the candidates span; random logits are not."""
    net = randomise(networks.Chain(), seed=4)
    weight = net.conv2.weight.asnumpy().copy()
    SlbQuantAwareTraining(quant_dtype=kind, t_start_val=2.0).apply(net)
    slb = SlbQuantAwareTraining(quant_dtype=kind, t_start_val=2.0, epoch_size=10)
    slb.set_epoch(net, 1)
    soft = net.set_train().conv2.weight.asnumpy()
    scale = net.conv2.weight_scale.asnumpy().reshape(-1, 1, 1, 1)
    limit = scale * (1 - 0.05 * 2 / (2 ** bits - 1))
    assert np.abs(soft - np.clip(weight, -limit, limit)).max() < 1e-5
    assert {1: 0.35, 2: 0.12, 4: 0.012}[bits] > ((soft - weight) ** 2).sum() / (weight ** 2).sum()
    hard = net.set_train(False).conv2.weight.asnumpy()
    assert {1: 0.5, 2: 0.16, 4: 0.02}[bits] > ((hard - weight) ** 2).sum() / (weight ** 2).sum()
    random = SlbQuantAwareTraining(quant_dtype=kind, start="random").apply(randomise(networks.Chain(), seed=4))
    assert ((random.set_train().conv2.weight.asnumpy() - weight) ** 2).sum() / (weight ** 2).sum() > 0.8


def test_a_float_checkpoint_loads_after_apply(tmp_path):
    ms.save_checkpoint(randomise(networks.Identity(), seed=7), str(tmp_path / "float.ckpt"))
    slb = SlbQuantAwareTraining(quant_dtype=QuantDtype.INT4)
    early, late = slb.apply(randomise(networks.Identity(), seed=7)), slb.apply(networks.Identity())
    assert load_float(late, tmp_path / "float.ckpt") is late
    for ours, theirs in zip(late.get_parameters(), early.get_parameters()):
        assert ours.name == theirs.name and np.array_equal(ours.asnumpy(), theirs.asnumpy())
    with pytest.raises(RuntimeError, match="give the checkpoint of the float network"):
        load_float(slb.apply(networks.Chain()), tmp_path / "float.ckpt")


def test_a_checkpoint_of_the_search_goes_on(tmp_path):
    """Logits, scales, temperature and ranges are in it; a fresh network continues where the old one was."""
    slb = SlbQuantAwareTraining(quant_dtype=QuantDtype.INT2, enable_act_quant=True, epoch_size=10)
    net = slb.apply(randomise(networks.Identity()))
    slb.set_epoch(net, 4)
    train_steps(net, 2)
    ms.save_checkpoint(net, str(tmp_path / "search.ckpt"))
    fresh = slb.apply(networks.Identity())
    missing, unread = ms.load_param_into_net(fresh, ms.load_checkpoint(str(tmp_path / "search.ckpt")))
    assert (missing, unread) == ([], [])
    assert np.array_equal(evaluate(fresh, image(2, 3, 8, 8)).asnumpy(), evaluate(net, image(2, 3, 8, 8)).asnumpy())
    converted = slb.convert(slb.apply(networks.Identity()), str(tmp_path / "search.ckpt"))
    assert np.array_equal(converted.a.weight.asnumpy(), slb.convert(net).a.weight.asnumpy())


def test_first_and_last_layers_are_found_by_dataflow():
    net = SlbQuantAwareTraining(keep_first_last=True, input_shape=(1, 3, 8, 8)).apply(networks.Chain())
    assert list(slb_layers(net)) == ["conv2"]
    net = SlbQuantAwareTraining(keep_first_last=True, dense=True, input_shape=(1, 3, 8, 8)).apply(networks.Identity())
    assert list(slb_layers(net)) == ["a", "b"]
    net = SlbQuantAwareTraining(keep_first_last=True, input_shape=(1, 3, 8, 8)).apply(networks.Projection())
    assert list(slb_layers(net)) == ["a", "b", "short.0"]


def test_one_weight_of_two_cells_stays_one():
    net = SlbQuantAwareTraining(quant_dtype=QuantDtype.INT2).apply(networks.SharedWeight())
    layers = list(slb_layers(net).values())
    assert len({id(cell.weight_quantizer()) for cell in layers}) < len(layers)


def test_code_that_reads_a_weight_gets_the_searched_one(tmp_path):
    """The same output and the same gradients in both modes, none of them zero; and out to the file of packed bits."""
    x, found = 10 * image(2, 3, 8, 8), []
    for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
        ms.set_context(mode=mode)
        net = SlbQuantAwareTraining(quant_dtype=QuantDtype.INT2).apply(randomise(ReadsWeight())).set_train()
        gradients = ms.value_and_grad(Squares(net), None, net.trainable_params())(x)[1]
        found.append([g.asnumpy() for g in gradients])
    for eager, graph in zip(*found):
        assert np.abs(graph).max() > 1e-3 and np.abs(eager - graph).max() < 1e-5 * np.abs(eager).max()
    small = SlbQuantAwareTraining().convert(net)
    expected = evaluate(net, x).asnumpy()
    assert relative_difference(evaluate(small, x).asnumpy(), expected) < 1e-5
    again = load_quantized(ReadsWeight, save_quantized(small, tmp_path / "small"))
    assert np.array_equal(evaluate(again, x).asnumpy(), evaluate(small, x).asnumpy())


class Squares(nn.Cell):
    def __init__(self, net):
        super().__init__(auto_prefix=False)
        self.net = net

    def construct(self, x):
        return (self.net(x) ** 2).mean()


@pytest.mark.parametrize("build, holder, layer, options", [(Tied, "embed", "fc", {"dense": True}),
                                                           (Decayed, "the network itself", "conv", {}),
                                                           (networks.SharedWeight, "b", "a", {"keep_float": ["b"]})])
def test_a_weight_that_another_cell_computes_with_is_refused(build, holder, layer, options):
    net = build()
    before = state(net)
    message = f"'{holder}' holds the weight of '{layer}', but is not searched.*keep_float"
    with pytest.raises(RuntimeError, match=message):
        SlbQuantAwareTraining(**options).apply(net)
    assert same_state(before, state(net))


def test_a_loss_cell_around_the_network_changes_nothing():
    net = randomise(networks.Identity())
    around = nn.WithLossCell(net, nn.CrossEntropyLoss())
    slb = SlbQuantAwareTraining(quant_dtype=QuantDtype.INT2)
    slb.apply(net)
    assert len({p.name for p in around.get_parameters()}) == len(list(around.get_parameters()))
    train_steps(net, 1)
    assert relative_difference(evaluate(slb.convert(net), image(2, 3, 8, 8)).asnumpy(),
                               evaluate(net, image(2, 3, 8, 8)).asnumpy()) < 1e-5
