"""Scripts that people already have: Golden Stick's documented flow and the model zoo's recipe, pasted."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.dataset import GeneratorDataset

import mindspore_gs
from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo, load_mindir
from mindspore_gs.comp_algo import CompAlgo, ExportMindIRCallBack
from mindspore_gs.errors import CheckpointError
from mindspore_gs.pruner.optimizers import OptimizerCheck
from mindspore_gs.pruner.scop.scop_pruner import KfCallback, KfConv2d, MaskedConv2dbn
from tests import networks
from tests.helpers import evaluate, image, parameter_count, randomise, relative_difference, train_steps

IMAGES = image(16, 3, 32, 32, seed=11)


def create_dataset(count=12, batch=4):
    random = np.random.default_rng(0)
    rows = [(random.standard_normal((3, 32, 32)).astype(np.float32), np.int32(random.integers(0, 4)))
            for _ in range(count)]
    return GeneratorDataset(rows, ["image", "label"], shuffle=False).batch(batch, drop_remainder=True)


@pytest.fixture(scope="module", params=["keep", "couple"])
def tuned(request, tmp_path_factory):
    """A masked network that was fine-tuned at 0.45: (policy, checkpoint, predictions, slim parameters)."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    ms.set_seed(1)
    folder = tmp_path_factory.mktemp(request.param)
    net = randomise(networks.Long())
    net = PrunerKfCompressAlgo({"residual": request.param}).apply(net)
    train_steps(net, 2, shape=(4, 3, 32, 32))
    ft = PrunerFtCompressAlgo({"prune_rate": 0.45})
    net = ft.apply(net)
    train_steps(net, 2, shape=(4, 3, 32, 32))
    path = str(folder / "masked.ckpt")
    ms.save_checkpoint(net, path)
    return request.param, path, evaluate(net, IMAGES).asnumpy(), parameter_count(ft.convert(net))


def test_the_documented_flow(tuned, mode):
    """Apply both without a prune rate, load, evaluate: the same predictions."""
    residual, path, expected, size = tuned
    net = networks.Long()
    kf = PrunerKfCompressAlgo({"residual": residual})
    net = kf.apply(net)
    ft = PrunerFtCompressAlgo({})
    net = ft.apply(net)
    missing, unused = ms.load_param_into_net(net, ms.load_checkpoint(path))
    assert (missing, unused) == ([], [])
    np.testing.assert_allclose(evaluate(net, IMAGES).asnumpy(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(evaluate(net, IMAGES).asnumpy().argmax(1), expected.argmax(1))
    small = ft.convert(net)
    assert parameter_count(small) == size
    np.testing.assert_allclose(evaluate(small, IMAGES).asnumpy(), expected, rtol=1e-4, atol=1e-5)


def test_convert_from_a_checkpoint(tuned):
    """A plain network, and one that both algorithms have been applied to; neither changes."""
    residual, path, expected, size = tuned
    plain = networks.Long()
    applied = PrunerFtCompressAlgo().apply(PrunerKfCompressAlgo(residual=residual).apply(networks.Long()))
    for net, ft in ((plain, PrunerFtCompressAlgo(residual=residual)), (applied, PrunerFtCompressAlgo())):
        before = {p.name: p.asnumpy().copy() for p in net.get_parameters()}
        small = ft.convert(net, path)
        assert type(small) is networks.Long and parameter_count(small) == size
        np.testing.assert_allclose(evaluate(small, IMAGES).asnumpy(), expected, rtol=1e-4, atol=1e-5)
        assert [p.name for p in net.get_parameters()] == list(before)
        assert all(np.array_equal(p.asnumpy(), before[p.name]) for p in net.get_parameters())


def test_convert_refuses_another_networks_checkpoint(tuned, tmp_path):
    _, path, _, _ = tuned
    with pytest.raises(CheckpointError, match="it belongs to another network"):
        PrunerFtCompressAlgo().convert(networks.Chain(), path)
    with pytest.raises(CheckpointError, match=r"has shape \(4, 12\) for 'fc.weight', but the network has \(7, 12\)"):
        PrunerFtCompressAlgo(residual=tuned[0]).convert(networks.Long(7), path)
    with pytest.raises(CheckpointError, match="there is no checkpoint at"):
        PrunerFtCompressAlgo().convert(networks.Long(), str(tmp_path / "none.ckpt"))
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(CheckpointError, match="is damaged or no MindSpore checkpoint"):
        PrunerFtCompressAlgo().convert(networks.Long(), str(tmp_path / "text.ckpt"))


def test_a_masked_checkpoint_has_the_same_shapes_at_every_rate(tmp_path):
    found = []
    for rate in (None, 0.2, 0.45, 0.9):
        net = PrunerKfCompressAlgo({}).apply(networks.Long())
        net = PrunerFtCompressAlgo({} if rate is None else {"prune_rate": rate}).apply(net)
        ms.save_checkpoint(net, str(tmp_path / f"{rate}.ckpt"))
        entries = ms.load_checkpoint(str(tmp_path / f"{rate}.ckpt"))
        found.append({name: (tuple(p.shape), p.dtype) for name, p in entries.items()})
    assert found[0] == found[1] == found[2] == found[3]
    masks = {name: shape for name, (shape, _) in found[0].items() if "out_index" in name}
    assert masks == {"layer1.0.conv1.out_index": (6,), "layer1.0.conv2.out_index": (8,),
                     "layer2.0.conv1.out_index": (8,), "layer2.0.conv2.out_index": (12,),
                     "layer2.1.conv1.out_index": (10,), "layer2.1.conv2.out_index": (12,)}
    assert set(found[0]) - set(masks) == {p.name for p in networks.Long().get_parameters()}


def test_the_model_zoos_evaluation(tuned):
    """The recipe with private calls: masks from the checkpoint, _recover_conv, load, in_index, _pruning_conv, count."""
    residual, path, expected, size = tuned
    net = networks.Long()
    param_dict = ms.load_checkpoint(path)
    net = PrunerKfCompressAlgo({"residual": residual}).apply(net)
    ft = PrunerFtCompressAlgo({})

    out_index = []
    for key in param_dict:
        if "out_index" in key:
            out_index.append(param_dict[key])
    for _, module in net.cells_and_names():
        if isinstance(module, KfConv2d):
            module.out_index = out_index.pop(0)
    assert not out_index
    net = ft._recover_conv(net)
    ms.load_param_into_net(net, param_dict)
    net.set_train(False)
    np.testing.assert_allclose(net(IMAGES).asnumpy(), expected, rtol=1e-5, atol=1e-6)

    last_index = ms.Tensor([0, 1, 2])
    for _, module in net.cells_and_names():
        if isinstance(module, MaskedConv2dbn):
            module.in_index = last_index
            last_index = module.out_index
    masked_size = parameter_count(net)
    net = ft._pruning_conv(net)
    assert sum(int(np.prod(p.shape)) for p in net.trainable_params()) == size < masked_size
    np.testing.assert_allclose(net(IMAGES).asnumpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("context", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def test_the_model_zoos_fine_tuning(context):
    """amp O2 without float32 BatchNorm, fixed loss scale, Momentum with loss scale, sink mode."""
    ms.set_context(mode=context)
    net = PrunerKfCompressAlgo({}).apply(randomise(networks.Long()))
    net = PrunerFtCompressAlgo({"prune_rate": 0.45}).apply(net)
    start = {p.name: p.asnumpy().copy() for p in net.get_parameters()}
    optimizer = nn.Momentum(filter(lambda p: p.requires_grad, net.get_parameters()), 0.01, 0.9, loss_scale=1024)
    loss_scale = ms.FixedLossScaleManager(1024, drop_overflow_update=False)
    model = ms.Model(net, loss_fn=nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"), optimizer=optimizer,
                     loss_scale_manager=loss_scale, metrics={"acc"}, amp_level="O2", keep_batchnorm_fp32=False)
    model.train(1, create_dataset(), dataset_sink_mode=True)
    types = {p.name: p.dtype for p in net.get_parameters()}
    assert {kind for name, kind in types.items() if "out_index" not in name} == {ms.float32}
    for p in net.get_parameters():
        values = p.asnumpy()
        assert np.isfinite(values).all()
        assert np.array_equal(values, start[p.name]) == ("out_index" in p.name), p.name
    masks = {path: cell for path, cell in net.cells_and_names() if isinstance(cell, MaskedConv2dbn)}
    assert sum(int(cell.stays.sum()) for cell in masks.values()) == 4 + 5 + 5 + 7 + 6 + 7
    assert 0 <= model.eval(create_dataset(), dataset_sink_mode=False)["acc"] <= 1


def test_own_cells_follow_the_type_of_what_comes_in():
    net = PrunerFtCompressAlgo({"prune_rate": 0.45}).apply(PrunerKfCompressAlgo({}).apply(randomise(networks.Long())))
    x = image(2, 3, 32, 32)
    expected = evaluate(net, x)
    net.to_float(ms.float16)
    cells = [cell for _, cell in net.cells_and_names() if isinstance(cell, MaskedConv2dbn)]
    found = []
    for cell in cells:
        cell.register_forward_hook(lambda cell, inputs, output: found.append((inputs[0].dtype, output.dtype)))
    assert relative_difference(evaluate(net, x), expected) <= 1e-2
    assert found == [(ms.float16, ms.float16)] * 6


def test_the_knockoff_phase_under_amp(mode):
    net = PrunerKfCompressAlgo({}).apply(randomise(networks.Long()))
    optimizer = nn.Momentum(filter(lambda p: p.requires_grad, net.get_parameters()), 0.01, 0.9, loss_scale=1024)
    model = ms.Model(net, loss_fn=nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"), optimizer=optimizer,
                     loss_scale_manager=ms.FixedLossScaleManager(1024, drop_overflow_update=False), amp_level="O2",
                     keep_batchnorm_fp32=False)
    model.train(1, create_dataset(8), dataset_sink_mode=False)
    scales = [p.asnumpy().astype(np.float32) for p in net.trainable_params()]
    assert len(scales) == 6 and all(np.isfinite(s).all() and (s != 0.5).any() for s in scales)


def test_save_mindir_exports_the_slim_network(tmp_path):
    dense = str(tmp_path / "dense")
    net = randomise(networks.Long(width=4))
    size = parameter_count(net)
    ms.export(net.set_train(False), image(1, 3, 32, 32), file_name=dense, file_format="MINDIR")
    net = PrunerKfCompressAlgo({}).apply(net)
    ft = PrunerFtCompressAlgo({"prune_rate": 0.7, "save_mindir": True, "save_mindir_path": str(tmp_path / "small")})
    net = ft.apply(net)
    callbacks = ft.callbacks()
    assert [type(callback) for callback in callbacks] == [OptimizerCheck, ExportMindIRCallBack]
    model = ms.Model(net, nn.CrossEntropyLoss(), nn.Momentum(net.trainable_params(), 0.01, 0.9))
    model.train(1, create_dataset(), callbacks=callbacks, dataset_sink_mode=False)
    small = ft.convert(net)
    ratio = (tmp_path / "small.mindir").stat().st_size / (tmp_path / "dense.mindir").stat().st_size
    assert parameter_count(small) < 0.3 * size and ratio < 0.4
    reloaded, x = load_mindir(tmp_path / "small.mindir"), image(1, 3, 32, 32, seed=3)
    assert relative_difference(reloaded(x), evaluate(net, x)) <= 1e-5
    assert relative_difference(reloaded(x), evaluate(small, x)) <= 1e-5


def test_where_the_names_are_found():
    from mindspore_gs.pruner import PrunerFtCompressAlgo as ft
    from mindspore_gs.pruner import PrunerKfCompressAlgo as kf
    from mindspore_gs.pruner.scop import scop_pruner
    assert ft is mindspore_gs.PrunerFtCompressAlgo is scop_pruner.PrunerFtCompressAlgo
    assert kf is mindspore_gs.PrunerKfCompressAlgo is scop_pruner.PrunerKfCompressAlgo
    assert mindspore_gs.CompAlgo is CompAlgo and issubclass(ft, CompAlgo) and issubclass(kf, CompAlgo)
    assert issubclass(KfCallback, ms.train.Callback) and issubclass(ExportMindIRCallBack, ms.train.Callback)
