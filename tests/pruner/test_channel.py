"""ChannelPruner and prune: any criterion on any network, rounds of pruning, names, checkpoints, optimizers."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindspore_gs import (
    ChannelPruner,
    PrunerFtCompressAlgo,
    PrunerKfCompressAlgo,
    export_mindir,
    load_mindir,
    load_pruned,
    prune,
    save_pruned,
    summary,
)
from mindspore_gs._cells import copy_network
from mindspore_gs.errors import CheckpointError, PlanError, PruningError
from mindspore_gs.graph import Role, trace
from mindspore_gs.pruner.residual import prunable_groups
from mindspore_gs.slim import RestoreChannels, carry_moments
from tests import networks
from tests.helpers import evaluate, image, parameter_count, randomise, relative_difference, same_state, state
from tests.masks.test_masks import NETWORKS, Plain

S = (1, 3, 8, 8)


def fpgm(channels):
    """He et al., CVPR 2019."""
    rows = np.concatenate(channels.rows(Role.FILTER), axis=1)
    return np.linalg.norm(rows[:, None] - rows, axis=2).sum(axis=1)


@pytest.mark.parametrize("criterion", ["l1", "scop", fpgm], ids=["l1", "scop", "fpgm"])
@pytest.mark.parametrize(("build", "shape"), NETWORKS.values(), ids=NETWORKS)
def test_what_the_graph_calls_free_is_pruned(build, shape, criterion):
    """masked == slim, and every free group lost what the rate says."""
    net = randomise(build())
    groups = [g for g in prunable_groups(trace(net, shape), "couple") if g.blocked_by is None]
    pruner = ChannelPruner(criterion=criterion, prune_rate=0.5, input_shape=shape)
    masked = pruner.apply(net)
    small = pruner.convert(masked)
    x = image(3, *shape[1:], seed=9)
    assert relative_difference(evaluate(small, x), evaluate(masked, x)) <= 1e-5
    assert [g.size for g in prunable_groups(trace(small, shape), "couple") if g.blocked_by is None] == [
        g.size - g.size // 2 for g in groups]
    assert {p.name for p in small.get_parameters()} == {p.name for p in build().get_parameters()}


def test_the_norm_decides():
    net = randomise(Plain())
    norms = np.abs(net.a.weight.asnumpy()).sum(axis=(1, 2, 3))
    small = ChannelPruner(prune_rate=0.5, input_shape=S)
    small = small.convert(small.apply(net))
    stays = np.sort(np.argsort(norms)[4:])
    np.testing.assert_array_equal(small.a.weight.asnumpy(), net.a.unmasked_weight.asnumpy()[stays])


@pytest.mark.parametrize("residual, stem", [("keep", 8), ("couple", 4), ("inner", 8)])
def test_the_policies(residual, stem, mode, tmp_path):
    pruner = ChannelPruner(prune_rate=0.5, residual=residual, input_shape=S)
    masked = pruner.apply(randomise(networks.Long()))
    small = pruner.convert(masked)
    x = image(3, 3, 8, 8, seed=9)
    assert relative_difference(evaluate(small, x), evaluate(masked, x)) <= 1e-5
    assert small.stem.weight.shape[0] == stem and small.layer2[1].conv1.weight.shape[0] == 5
    restored = sum(isinstance(cell, RestoreChannels) for _, cell in small.cells_and_names())
    assert (restored > 0) == (residual == "keep")
    reloaded = load_mindir(export_mindir(small, S, tmp_path / "small"))
    y = image(1, 3, 8, 8, seed=4)
    assert relative_difference(reloaded(y), evaluate(masked, y)) <= 1e-5


def test_one_call_leaves_the_network_as_it_is():
    net = randomise(networks.Long())
    before, x = state(net), image(2, 3, 8, 8)
    small = prune(net, inputs=S)
    assert same_state(before, state(net))
    assert abs(summary(net, small).macs_ratio - 0.5) <= 0.02
    assert evaluate(small, x).shape == (2, 4)
    assert abs(summary(net, prune(net, target={"params": 0.3}, inputs=image(*S))).params_ratio - 0.3) <= 0.02
    assert prune(net, prune_rate=0.25, inputs=S, ignore=["layer2"]).layer2[0].conv1.weight.shape[0] == 8


@pytest.mark.parametrize("options, error, message", [
    ({"prune_rate": 0.5, "target": {"macs": 0.5}}, ValueError, "'prune_rate' and 'target' exclude each other"),
    ({"criterion": "l3"}, ValueError, "the 'criterion' must be one of"),
    ({"ignore": ["stage1"]}, ValueError, "matches no layer and no parameter of the network; the nearest names"),
    ({"rates": {"fc.wieght": 0.5}}, ValueError, "the nearest names are 'fc.weight'"),
    ({"ignore": ["*"]}, PruningError, r"no layer has channels that may be removed with residual='couple' and ignore"),
    ({"inputs": (1, 5, 8, 8)}, PruningError, "cannot be exported to MindIR"),
    ({"residual": "none"}, ValueError, r"must be one of \('keep', 'couple', 'inner'\)")], ids=str)
def test_wrong_use_is_refused_and_changes_nothing(options, error, message):
    net = randomise(networks.Long())
    before = state(net)
    with pytest.raises(error, match=message):
        prune(net, **{"inputs": S} | options)
    assert same_state(before, state(net))


@pytest.mark.parametrize("name, whole", [
    ("layer1", {"layer1.0.conv1"}), ("layer2.*", {"layer2.0.conv1", "layer2.1.conv1"}),
    ("*.0.conv1", {"layer1.0.conv1", "layer2.0.conv1"}), ("layer2.1.conv1.weight", {"layer2.1.conv1"}),
    ("layer2.1.bn1", {"layer2.1.conv1"}), ("layer2.1.bn1.gamma", {"layer2.1.conv1"})])
def test_a_layer_is_meant_by_cell_pattern_or_parameter(name, whole):
    for options in ({"ignore": [name], "prune_rate": 0.5}, {"rates": {name: 0.0}, "prune_rate": 0.5}):
        net = ChannelPruner(residual="inner", input_shape=S, **options).apply(randomise(networks.Long()))
        kept = {p.name.removesuffix(".out_index") for p in net.get_parameters()
                if p.name.endswith("out_index") and p.asnumpy().all()}
        inner = {"layer1.0.conv1", "layer2.0.conv1", "layer2.1.conv1"}
        ignored = set() if "rates" in options else inner - {p.name.removesuffix(".out_index")
                                                            for p in net.get_parameters()}
        assert (kept | ignored) & inner == whole


@pytest.mark.parametrize("residual", ["keep", "couple", "inner"])
def test_three_rounds_and_every_file_reloads(residual, tmp_path):
    """Prune, (fine-tune,) prune again; plans compose, and writers into a stream are pruned again."""
    net, x, widths = randomise(networks.Long()), image(3, 3, 8, 8, seed=9), []
    for number in (1, 2, 3):
        pruner = ChannelPruner(prune_rate=0.25, residual=residual, input_shape=S)
        masked = pruner.apply(net)
        expected = evaluate(masked, x)
        net = pruner.convert(masked)
        assert relative_difference(evaluate(net, x), expected) <= 1e-5
        widths.append([net.layer1[0].conv1.weight.shape[0], net.layer2[1].conv2.weight.shape[0]])
        file = save_pruned(net, tmp_path / f"round{number}.ckpt")
        assert relative_difference(evaluate(load_pruned(networks.Long, file), x), evaluate(net, x)) == 0
        before = str(tmp_path / f"round{number - 1}.ckpt")
        if number > 1:
            again = load_pruned(lambda: load_pruned(networks.Long, before), file)  # noqa: B023
            assert relative_difference(evaluate(again, x), evaluate(net, x)) == 0
    stream = {"keep": [9, 7, 6], "couple": [9, 7, 6], "inner": [12, 12, 12]}[residual]
    assert widths == [list(pair) for pair in zip([5, 4, 3], stream)]
    restored = sum(isinstance(cell, RestoreChannels) for _, cell in net.cells_and_names())
    assert restored == (3 if residual == "keep" else 0)
    with pytest.raises(CheckpointError, match="does not fit Long: the plan keeps channels of .* has lost already"):
        load_pruned(lambda: load_pruned(networks.Long, tmp_path / "round2.ckpt"), tmp_path / "round1.ckpt")


@pytest.mark.parametrize("residual", ["keep", "couple"])
@pytest.mark.parametrize("options", [{"ignore": ["layer2"]}, {"input_shape": (1, 3, 12, 12)}], ids=["ignore", "shape"])
def test_a_masked_checkpoint_converts_from_a_plain_network(residual, options, tmp_path):
    net = PrunerKfCompressAlgo({"residual": residual, **options}).apply(randomise(networks.Long()))
    masked = PrunerFtCompressAlgo(prune_rate=0.5, criterion="l1").apply(net)
    path, x = str(tmp_path / "masked.ckpt"), image(2, 3, 12, 12)
    ms.save_checkpoint(masked, path)
    small = PrunerFtCompressAlgo(residual=residual).convert(networks.Long(), path)
    assert relative_difference(evaluate(small, x), evaluate(masked, x)) <= 1e-5
    assert parameter_count(small) == parameter_count(PrunerFtCompressAlgo().convert(masked))


def test_what_is_not_slim_is_not_saved_as_slim(tmp_path):
    small = prune(randomise(networks.Long()), inputs=S)
    for net in (randomise(networks.Long()), PrunerKfCompressAlgo(input_shape=S).apply(copy_network(small)),
                ChannelPruner(prune_rate=0.2, input_shape=S).apply(copy_network(small))):
        with pytest.raises(CheckpointError, match="carries no plan|has knockoffs or masks; save the network"):
            save_pruned(net, tmp_path / "wrong.ckpt")
    assert not list(tmp_path.iterdir())


class Loss(nn.Cell):
    """A user's own loss cell, which renames the network's parameters."""

    def __init__(self, net):
        super().__init__()
        self.model, self.loss = net, nn.CrossEntropyLoss()

    def construct(self, x, y):
        return self.loss(self.model(x), y)


@pytest.mark.parametrize("residual, context", [("keep", ms.PYNATIVE_MODE), ("couple", ms.GRAPH_MODE)],
                         ids=["keep-pynative", "couple-graph"])
@pytest.mark.parametrize("wrapped", ["dense", "knockoff", "masked", "slim"])
def test_names_never_matter(wrapped, residual, context, tmp_path):
    """A loss cell around the network renames all parameters, in whatever phase; files have the constructor's names."""
    ms.set_context(mode=context)
    net, x = randomise(networks.Long()), image(2, 3, 8, 8)
    phases = {"dense": net}

    def maybe(phase, net):
        if phase == wrapped:
            step = nn.TrainOneStepCell(Loss(net), nn.Adam(net.trainable_params(), 1e-3))
            step.set_train()
            step(image(8, 3, 8, 8), ms.Tensor(np.arange(8) % 4, ms.int32))
        phases[phase] = net
        return net

    net = PrunerKfCompressAlgo(input_shape=S, residual=residual).apply(maybe("dense", net))
    net = PrunerFtCompressAlgo(prune_rate=0.5).apply(maybe("knockoff", net))
    ms.save_checkpoint(maybe("masked", net), str(tmp_path / "masked.ckpt"))
    small = maybe("slim", PrunerFtCompressAlgo().convert(net))
    file = save_pruned(small, tmp_path / "slim.ckpt")
    own = {p.name for p in networks.Long().get_parameters()}
    assert set(ms.load_checkpoint(str(file))) - own == {"mindspore_gs.plan"}
    assert relative_difference(evaluate(load_pruned(networks.Long, file), x), evaluate(small, x)) == 0
    if wrapped != "slim":
        again = PrunerFtCompressAlgo(residual=residual).convert(networks.Long(), str(tmp_path / "masked.ckpt"))
        assert relative_difference(evaluate(again, x), evaluate(small, x)) <= 1e-6


class Sliced(nn.Cell):
    """Takes slices of its lists as it runs: in PyNative mode, MindSpore calls parameters of both ``0.weight``."""

    def __init__(self):
        super().__init__()
        self.left, self.right = (nn.CellList([nn.Conv2d(3 if k == 0 else 6, 6, 3) for k in range(3)]) for _ in "ab")

    def construct(self, x):
        y = x
        for layer in self.left[:-1]:
            x = layer(x)
        for layer in self.right[:-1]:
            y = layer(y)
        return self.left[-1](x) * self.right[-1](y)


@pytest.mark.parametrize("residual", ["keep", "couple"])
def test_a_slice_of_cells_that_renames_parameters_at_each_run(residual, tmp_path):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    x, own = image(4, 3, 8, 8), [p.name for p in Sliced().get_parameters()]

    def trained(net):
        optimizer = nn.SGD(net.trainable_params(), 1e-2)
        optimizer(ms.value_and_grad(lambda: (net.set_train(True)(x) ** 2).mean(), None, optimizer.parameters)()[1])
        net(x)
        names = [p.name for p in net.get_parameters()]
        assert len(set(names)) < len(names)
        return net

    net = trained(PrunerKfCompressAlgo(input_shape=S, residual=residual).apply(randomise(Sliced())))
    net = trained(PrunerFtCompressAlgo(prune_rate=0.5).apply(net))
    ms.save_checkpoint(net, str(tmp_path / "masked.ckpt"))
    small = PrunerFtCompressAlgo().convert(net)
    assert [p.name for p in small.get_parameters()] == own
    with pytest.raises(CheckpointError):  # MindSpore's file has one of two masks that had the same name
        PrunerFtCompressAlgo(residual=residual).convert(Sliced(), str(tmp_path / "masked.ckpt"))
    small = trained(small)
    file = save_pruned(small, tmp_path / "slim.ckpt")
    assert set(ms.load_checkpoint(str(file))) == {*own, "mindspore_gs.plan"}
    assert relative_difference(evaluate(load_pruned(Sliced, file), x), evaluate(small, x)) == 0
    with pytest.raises(PruningError, match=r"2 parameters of Sliced are called '0.weight', .* a slice of cells"):
        PrunerKfCompressAlgo(input_shape=S).apply(trained(Sliced()))


@pytest.mark.parametrize("make", [lambda p: nn.Momentum(p, 0.05, 0.9), lambda p: nn.Adam(p, 0.01)], ids=["sgd", "adam"])
def test_an_optimizers_moments_go_with_the_channels(make):
    """Two steps masked, then two steps slim, are four steps masked."""
    pruner = ChannelPruner(prune_rate=0.5, input_shape=S)
    masked = pruner.apply(randomise(Plain()))
    old = make(masked.trainable_params())
    steps(masked, old, 2)
    small = pruner.convert(masked)
    new = make(small.trainable_params())
    assert carry_moments(old, new, masked, small, pruner.plan(masked)) == len(new.parameters) * (2 if "Adam" in str(
        type(new)) else 1)
    steps(masked, old, 2, seed=5)
    steps(small, new, 2, seed=5)
    x = image(3, 3, 8, 8, seed=9)
    assert relative_difference(evaluate(small, x), evaluate(masked, x)) <= 1e-5
    with pytest.raises(TypeError, match="takes two optimizers of one class, but got"):
        carry_moments(old, nn.SGD(small.trainable_params()), masked, small, pruner.plan(masked))
    with pytest.raises(PlanError, match="the plan is not that of these two networks"):
        carry_moments(old, new, masked, small, type(pruner.plan(masked))())


def steps(net, optimizer, count, seed=3):
    loss = nn.CrossEntropyLoss()

    def forward(x, y):
        return loss(net(x), y)

    step = ms.value_and_grad(forward, None, optimizer.parameters)
    net.set_train(True)
    for k in range(count):
        optimizer(step(image(8, 3, 8, 8, seed=seed + k), ms.Tensor(np.arange(8) % 4, ms.int32))[1])


class Indexed(nn.Cell):
    """An image and a class number."""

    def __init__(self):
        super().__init__()
        self.conv, self.table, self.head = nn.Conv2d(3, 8, 3), nn.Embedding(10, 6), nn.Conv2d(8, 4, 1)
        self.shift = nn.Dense(6, 8)

    def construct(self, x, number):
        return self.head(ops.relu(self.conv(x)) + self.shift(self.table(number)).reshape(x.shape[0], -1, 1, 1))


def test_integer_inputs_are_given_as_tensors():
    with pytest.raises(PruningError, match="inputs that the network takes|'input_shape' what the network takes"):
        prune(randomise(Indexed()), prune_rate=0.5, inputs=[S, (1,)])
    number = ms.Tensor([3], ms.int32)
    small = prune(randomise(Indexed()), prune_rate=0.5, inputs=[image(*S), number])
    assert evaluate(small, image(*S), number).shape == (1, 4, 8, 8)


def test_a_masked_network_that_is_cast_to_half_precision_is_converted():
    """It was traced in float32, and takes float16 only now."""
    pruner = ChannelPruner(prune_rate=0.5, input_shape=(1, 3, 8, 8))
    net = pruner.apply(randomise(networks.Chain()))
    for parameter in net.get_parameters():
        parameter.set_dtype(ms.float16)
    small, x = pruner.convert(net), image(2, 3, 8, 8, dtype=ms.float16)
    assert small.conv2.weight.shape[:2] == (4, 3) and small.conv2.weight.dtype == ms.float16
    assert np.abs(evaluate(small, x).asnumpy() - evaluate(net, x).asnumpy()).max() <= 2e-3
