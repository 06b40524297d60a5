"""Training: the callbacks, the BatchNorm statistics, quantised activations, mixed precision."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.common.dtype import QuantDtype
from mindspore.dataset import GeneratorDataset
from mindspore.train import Callback, Model

from mindspore_gs import SlbQuantAwareTraining, load_mindir
from mindspore_gs.errors import PruningError
from mindspore_gs.quantization.slb import load_float
from mindspore_gs.quantization.slb.slb_fake_quantizer import SlbActQuantizer
from tests.helpers import evaluate, image, randomise, relative_difference
from tests.networks import Identity
from tests.quantization.networks import Kinds


def data(batches=3):
    random = np.random.default_rng(0)
    rows = [(random.standard_normal((3, 8, 8)).astype(np.float32), np.int32(k % 4)) for k in range(4 * batches)]
    return GeneratorDataset(rows, ["image", "label"], shuffle=False).batch(4)


class Watch(Callback):
    """What each epoch began with."""

    def __init__(self, net):
        super().__init__()
        self.net, self.seen = net, []

    def on_train_step_end(self, run_context):
        quantizer = self.net.a.weight_quantizer()
        self.seen.append((float(quantizer.temperature.asnumpy()[0]),
                          bool(quantizer.flag_temperature_end_changing.asnumpy()[0])))


def test_the_recipe(mode, tmp_path):
    """Golden Stick's: setters, apply, train with the callbacks, convert; the MindIR is that of the converted net."""
    slb = SlbQuantAwareTraining({"save_mindir": True, "save_mindir_path": str(tmp_path / "net")})
    slb.set_weight_quant_dtype(QuantDtype.INT2)
    slb.set_enable_bn_calibration(True)
    slb.set_epoch_size(5)
    slb.set_has_trained_epoch(1)
    slb.set_t_factor(2.0)
    net = slb.apply(randomise(Identity()))
    model = Model(net, nn.CrossEntropyLoss(), nn.Momentum(net.trainable_params(), 0.01, 0.9))
    start = net.trainable_params()[0].asnumpy().copy()
    watch, dataset = Watch(net), data(2)
    model.train(4, dataset, callbacks=[*slb.callbacks(model, dataset), watch], dataset_sink_mode=False)
    assert watch.seen[::2] == [(2.0, False), (4.0, True), (4.0, True), (4.0, True)]
    assert np.abs(net.trainable_params()[0].asnumpy() - start).max() > 1e-4
    assert net.bn0.use_batch_statistics is None and net.bn0.training
    small = slb.convert(net)
    x = image(1, 3, 8, 8)
    expected = evaluate(net, x).asnumpy()
    assert relative_difference(evaluate(small, x).asnumpy(), expected) < 1e-5
    assert relative_difference(load_mindir(tmp_path / "net.mindir")(x).asnumpy(), expected) < 1e-5


def test_what_computes_the_loss_is_neither_calibrated_nor_exported(tmp_path):
    """SLB on the cell with the loss is refused at once; on the network inside of it, the MindIR is the network's."""
    slb = SlbQuantAwareTraining(enable_bn_calibration=True, epoch_size=1, has_trained_epoch=0, save_mindir=True,
                                save_mindir_path=str(tmp_path / "net"))
    around = slb.apply(nn.WithLossCell(randomise(Identity()), nn.CrossEntropyLoss()))
    model = Model(around, optimizer=nn.SGD(around.trainable_params(), 0.01))
    with pytest.raises(PruningError, match=r"WithLossCell, whose construct\(\) takes data, label, but .* 1 input "):
        slb.callbacks(model, data())
    net = slb.apply(randomise(Identity()))
    model = Model(nn.WithLossCell(net, nn.CrossEntropyLoss()), optimizer=nn.SGD(net.trainable_params(), 0.01))
    model.train(1, data(1), callbacks=slb.callbacks(model, data(1)), dataset_sink_mode=False)
    x = image(1, 3, 8, 8)
    assert relative_difference(load_mindir(tmp_path / "net.mindir")(x).asnumpy(), evaluate(net, x).asnumpy()) < 1e-5


def test_calibration_gives_the_statistics_of_the_weights_that_evaluation_uses():
    slb = SlbQuantAwareTraining(enable_bn_calibration=True, epoch_size=2, has_trained_epoch=0, t_start_time=0.0,
                                t_end_time=1.0)
    net = slb.apply(randomise(Identity()))
    net.bn1.use_batch_statistics = True
    dataset = data()
    model = Model(net, nn.CrossEntropyLoss(), nn.Momentum(net.trainable_params(), 0.0, 0.9))
    model.train(1, dataset, callbacks=slb.callbacks(model, dataset), dataset_sink_mode=False)
    assert net.bn1.use_batch_statistics is True and net.bn0.use_batch_statistics is None
    plain = slb.convert(net)
    features = [plain.stem(batch).asnumpy() for batch, _ in dataset.create_tuple_iterator(num_epochs=1)]
    mean = np.mean([f.mean((0, 2, 3)) for f in features], axis=0)
    assert np.abs(net.bn0.moving_mean.asnumpy() - mean).max() < 1e-5


def test_from_the_end_on_training_computes_what_evaluation_does():
    slb = SlbQuantAwareTraining(epoch_size=10, quant_dtype=QuantDtype.INT4)
    net = slb.apply(randomise(Identity()))
    slb.set_epoch(net, 5)
    hard = net.set_train(False).a.weight.asnumpy()
    assert np.abs(net.set_train().a.weight.asnumpy() - hard).max() > 1e-4
    slb.set_epoch(net, 6)
    assert np.array_equal(net.set_train().a.weight.asnumpy(), hard)
    slb.set_epoch(net, 1)
    assert np.abs(net.set_train().a.weight.asnumpy() - hard).max() > 1e-4
    with pytest.raises(RuntimeError, match="no layers with searched weights"):
        slb.set_epoch(Identity(), 1)


def test_the_gradient_is_that_of_the_mean():
    """d w / d a_i = s T p_i (v_i - mean), by central differences of nothing: the closed form."""
    net = SlbQuantAwareTraining(quant_dtype=QuantDtype.INT2).apply(randomise(nn.SequentialCell(nn.Conv2d(1, 1, 1))))
    cell = net.set_train()[0]
    cell.weight_quantizer().set_temperature(1.5)
    x = ms.Tensor(np.ones((1, 1, 1, 1), np.float32))
    gradient = ms.grad(lambda image: net(image).sum(), None, net.trainable_params()[:1])(x)[0].asnumpy().ravel()
    logits, scale = net.trainable_params()[0].asnumpy().ravel(), float(cell.weight_scale.asnumpy()[0])
    p = np.exp(1.5 * logits) / np.exp(1.5 * logits).sum()
    v = np.linspace(-1, 1, 4)
    assert np.allclose(gradient, scale * 1.5 * p * (v - p @ v), atol=1e-6)


def test_activations_are_rounded_to_256_values_within_their_range(mode):
    quantizer = SlbActQuantizer(ema=True, quant_delay=1)
    x = image(2, 3, 8, 8)
    quantizer.set_train()
    assert np.array_equal(quantizer(x).asnumpy(), x.asnumpy())  # the delay
    rounded = quantizer(x).asnumpy()
    low, high, step, zero = quantizer.range()
    assert (low, high) == (pytest.approx(float(x.asnumpy().min())), pytest.approx(float(x.asnumpy().max())))
    assert step == pytest.approx((high - low) / 255) and zero == round(-low / step)
    assert np.abs(rounded - x.asnumpy()).max() <= step * 0.51 + 1e-6
    assert len(np.unique(np.rint(rounded / step))) <= 256
    outside = ms.Tensor(np.array([[-100.0, 0.0, 100.0]], np.float32))
    clipped = quantizer.set_train(False)(outside).asnumpy().ravel()
    assert clipped[1] == 0 and abs(clipped[0] - low) <= step and abs(clipped[2] - high) <= step


def test_gradients_pass_inside_of_the_range_only():
    quantizer = SlbActQuantizer(ema=True, ema_decay=0.5, quant_delay=0)
    quantizer.set_train()
    quantizer(ms.Tensor([-1.0, 1.0]))
    quantizer(ms.Tensor([-1.0, 1.0]))
    x = ms.Tensor([-3.0, -0.5, 0.5, 3.0])  # the average range becomes [-2, 2]
    gradient = ms.grad(lambda value: quantizer(value).sum())(x).asnumpy()
    assert gradient.tolist() == [0.0, 1.0, 1.0, 0.0]


def test_a_layer_is_frozen_by_its_weight_and_takes_no_other():
    """What a loop says of the weight is true of the logits; a weight that is set would be lost, and is refused."""
    net = SlbQuantAwareTraining().apply(nn.SequentialCell(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 3, 1)))
    net[0].weight.requires_grad = False
    assert [p.shape for p in net.trainable_params()] == [(3, 2, 1, 1, 2)]
    value = ms.Tensor(np.ones((2, 1, 1, 1), np.float32))
    for change in (lambda cell: setattr(cell, "weight", ms.Parameter(value, name="0.weight")),
                   lambda cell: setattr(cell, "weight", value), lambda cell: cell.weight.set_data(value),
                   lambda cell: cell.weight.__setitem__(0, 1.0), lambda cell: ms.ops.assign(cell.weight, value)):
        with pytest.raises(PruningError, match=r"SLB searches '0.weight'.*before SlbQuantAwareTraining.apply\(\)"):
            change(net[0])
    assert sorted({*np.abs(net.set_train(False)[0].weight.asnumpy()).ravel()}) == sorted(
        {*net[0].weight_scale.asnumpy()})


@pytest.mark.slow
def test_mixed_precision():
    slb = SlbQuantAwareTraining(quant_dtype=QuantDtype.INT2)
    net = slb.apply(randomise(Identity()))
    model = Model(net, nn.CrossEntropyLoss(), nn.Momentum(net.trainable_params(), 0.01, 0.9), amp_level="O2",
                  loss_scale_manager=None)
    model.train(1, data(), dataset_sink_mode=False)
    expected = evaluate(net, image(2, 3, 8, 8)).asnumpy()
    assert np.isfinite(expected).all()
    assert relative_difference(evaluate(slb.convert(net), image(2, 3, 8, 8)).asnumpy(), expected) < 1e-2


def test_both_modes_have_the_same_gradients():
    """None of them zero: Graph mode must not take a searched weight for a constant."""
    x, found = image(2, 3, 8, 8), []
    for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
        ms.set_context(mode=mode)
        net = SlbQuantAwareTraining(quant_dtype=QuantDtype.INT2, enable_act_quant=True, dense=True).apply(
            randomise(Kinds())).set_train()
        forward = _Square(net)
        weights = net.trainable_params()
        gradients = ms.value_and_grad(forward, None, weights)(x)[1]
        found.append({p.name: g.asnumpy() for p, g in zip(weights, gradients)})
    for name, gradient in found[0].items():
        assert np.abs(found[1][name] - gradient).max() <= 1e-5 * max(1, np.abs(gradient).max())
        assert np.abs(gradient).max() > 1e-3 or name.endswith("stem.bias")  # a BatchNorm follows


class _Square(nn.Cell):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def construct(self, x):
        return (self.net(x) ** 2).mean()


@pytest.mark.parametrize("kind", [ms.float32, ms.float16])
def test_however_hot_it_gets_the_weights_are_numbers(kind):
    """A long training with a large factor: T is beyond what half, single and Python's numbers hold."""
    slb = SlbQuantAwareTraining(epoch_size=2000, t_factor=3.2, quant_dtype=QuantDtype.INT2)
    net = slb.apply(randomise(Identity()))
    cell = net.set_train().a
    hard = net.set_train(False).a.weight.asnumpy()
    for epoch in (425, 900, 1199, 2000):
        slb.set_epoch(net, epoch)
        quantizer = cell.weight_quantizer()
        logits = net.set_train().trainable_params()[3].astype(kind)
        assert logits.shape == (6, 8, 3, 3, 4)
        weight, gradient = ms.value_and_grad(lambda x: quantizer(x).sum())(logits)  # noqa: B023 - called here
        assert np.isfinite(float(weight)) and np.isfinite(gradient.asnumpy()).all()
        assert np.abs(cell.weight.asnumpy() - hard).max() < 1e-2


def test_the_start_belongs_to_the_temperature_of_the_start(tmp_path):
    """Before the first epoch, and where the float checkpoint is loaded late."""
    weight = randomise(Identity(), 7).a.weight.asnumpy()
    ms.save_checkpoint(randomise(Identity(), 7), str(tmp_path / "float.ckpt"))
    slb = SlbQuantAwareTraining(quant_dtype=QuantDtype.INT4, t_start_val=3.0, epoch_size=10)
    early, late = slb.apply(randomise(Identity(), 7)), load_float(slb.apply(Identity()), tmp_path / "float.ckpt")
    slb.set_epoch(late, 1)
    for net in (early, late):
        assert ((net.set_train().a.weight.asnumpy() - weight) ** 2).sum() < 0.01 * (weight ** 2).sum()


class WithALayerForNothing(nn.Cell):
    """What the second layer computes is thrown away."""

    def __init__(self):
        super().__init__()
        self.a, self.unread, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)

    def construct(self, x):
        x = self.a(x)
        self.unread(x)
        return self.b(x)


def test_a_layer_that_nothing_reads_trains_in_pynative_mode():
    """Its gradient of zeros has the shape of the logits, which an optimizer takes."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    net = SlbQuantAwareTraining(quant_dtype=QuantDtype.INT4).apply(WithALayerForNothing()).set_train()
    optimizer = nn.SGD(net.trainable_params(), 0.1)
    gradients = ms.grad(lambda x: (net(x) ** 2).mean(), None, optimizer.parameters)(image(2, 3, 8, 8))
    before = [p.asnumpy().copy() for p in optimizer.parameters]
    optimizer(gradients)
    changed = {p.name: bool((p.asnumpy() != old).any()) for p, old in zip(optimizer.parameters, before)}
    assert changed == {"a.weight": True, "unread.weight": False, "b.weight": True}


def test_an_optimizer_that_was_made_before_apply_is_refused():
    net = nn.SequentialCell(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    early = nn.SGD(net.trainable_params(), 0.1)
    slb = SlbQuantAwareTraining(epoch_size=1, has_trained_epoch=0)
    model = Model(slb.apply(net), nn.CrossEntropyLoss(), early)
    with pytest.raises(PruningError, match=r"made before apply\(\)"):
        model.train(1, data(), slb.callbacks(model, data()), dataset_sink_mode=False)
