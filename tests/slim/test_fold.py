"""BatchNorm becomes part of the convolution in front of it, where that is exact."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindspore_gs import PrunerFtCompressAlgo, export_mindir, load_mindir
from mindspore_gs.errors import TraceError
from mindspore_gs.export import mindir as export_module
from mindspore_gs.graph import trace
from mindspore_gs.slim import RestoreChannels, fold_batch_norm, relative_difference
from tests import couplings, networks
from tests.helpers import evaluate, image, masked, randomise, same_state, state

SHAPE = (1, 3, 8, 8)
NETWORKS = {  # network -> BatchNorms that stay
    "chain": (networks.Chain, []),
    "options": (networks.Options, []),
    "depthwise": (networks.Depthwise, []),
    "second_norm": (networks.SecondNorm, ["again"]),
    "dense_block": (couplings.DenseBlock, ["bn1", "bn2", "bn3"]),
    "called_twice": (networks.Twice, []),
    "upsampled": (couplings.Upsampled, ["bn_up"]),
    "standardised": (couplings.Standardised, ["bn_unit"]),
}


def norms(net):
    return [path for path, cell in net.cells_and_names() if isinstance(cell, nn.BatchNorm2d)]


def operators(net):
    return [node.op for node in trace(net, SHAPE).graph.nodes]


@pytest.mark.parametrize(("build", "stay"), NETWORKS.values(), ids=NETWORKS)
def test_the_folded_network_is_equal(build, stay, mode):
    net = randomise(build())
    before = state(net)
    folded = fold_batch_norm(net, SHAPE)
    assert norms(folded) == stay
    assert same_state(before, state(net))
    x = image(3, 3, 8, 8, seed=4)
    assert relative_difference(evaluate(folded, x), evaluate(net, x)) <= 1e-5


def test_a_gather_that_costs_more_than_filters_of_zeros_becomes_these():
    small = PrunerFtCompressAlgo().convert(masked(randomise(networks.Long()), residual="keep"))
    restores = {path: cell for path, cell in small.cells_and_names() if isinstance(cell, RestoreChannels)}
    folded = fold_batch_norm(small, SHAPE, gather_macs=1e9)
    assert restores and operators(folded).count("Gather") == operators(folded).count("Concat") == 0
    for path, cell in restores.items():  # in a pair: the BatchNorm, and what puts back
        convolution = next(c for p, c in folded.cells_and_names() if p == path.rpartition(".")[0].replace("bn", "conv"))
        zero = [k for k in range(cell.size) if k not in cell.indices]
        assert convolution.weight.shape[0] == cell.size and not convolution.weight.asnumpy()[zero].any()
    x = image(2, 3, 8, 8, seed=4)
    assert relative_difference(evaluate(folded, x), evaluate(small, x)) <= 1e-5


def test_a_slim_network_with_its_channels_put_back_is_folded_too():
    small = PrunerFtCompressAlgo().convert(masked(randomise(networks.Long()), residual="keep"))
    folded = fold_batch_norm(small, SHAPE)
    assert norms(folded) == [] and norms(small)
    restored = sum(isinstance(cell, RestoreChannels) for _, cell in small.cells_and_names())
    assert restored and operators(small).count("RestoreChannels") == restored
    assert (operators(folded).count("Gather"), operators(folded).count("Concat")) == (restored, 0)
    x = image(2, 3, 8, 8, seed=4)
    assert relative_difference(evaluate(folded, x), evaluate(small, x)) <= 1e-5


class OwnNorm(nn.BatchNorm2d):
    """Twice what a BatchNorm gives."""

    def construct(self, x):
        return 2 * super().construct(x)


@pytest.mark.parametrize("change", ["class", "statistics", "type"])
def test_what_would_not_be_exact_stays(change):
    net = networks.Options(ms.float16) if change == "type" else networks.Chain()
    if change == "class":
        net.bn2 = OwnNorm(8)
    if change == "statistics":
        net.bn2.use_batch_statistics = True
    net = randomise(net)
    folded = fold_batch_norm(net, ms.ops.zeros(SHAPE, ms.float16 if change == "type" else ms.float32))
    assert norms(folded) == (norms(net) if change == "type" else ["bn2"])


def test_the_file_is_folded_and_equal(tmp_path, mode):
    net = randomise(networks.Chain())
    before = state(net)
    path = export_mindir(net, SHAPE, tmp_path / "net.v1")
    assert path.name == "net.v1.mindir" and same_state(before, state(net))
    x = image(*SHAPE, seed=4)
    assert relative_difference(load_mindir(path)(x), evaluate(net, x)) <= 1e-5
    assert b"BatchNorm" in plain_file(net, tmp_path) and b"BatchNorm" not in path.read_bytes()
    assert operators(net).count("BatchNorm") == 2


def test_where_folding_is_not_equal_the_network_is_exported_as_it_is(tmp_path, monkeypatch):
    net = randomise(networks.Chain())
    monkeypatch.setattr(export_module, "fold_batch_norm", lambda net, *inputs: randomise(networks.Chain(), seed=5))
    path = export_mindir(net, SHAPE, tmp_path / "net")
    x = image(*SHAPE, seed=4)
    np.testing.assert_array_equal(load_mindir(path)(x).asnumpy(), evaluate(net, x).asnumpy())


def plain_file(net, folder):
    ms.export(net.set_train(False), ms.ops.zeros(SHAPE), file_name=str(folder / "plain"), file_format="MINDIR")
    return (folder / "plain.mindir").read_bytes()


class OnlyLargeImagesTrain(nn.Cell):
    """Its auxiliary head, which training alone runs, takes no image of the size that evaluation gets."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.last = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)
        self.aux = nn.Conv2d(4, 2, 9, pad_mode="valid")

    def construct(self, x):
        x = self.norm(self.conv(x))
        return (self.last(x), self.aux(x)) if self.training else self.last(x)


def test_what_only_training_does_is_no_matter():
    net, x = randomise(OnlyLargeImagesTrain()), image(1, 3, 6, 6)
    folded = fold_batch_norm(net, x)
    assert isinstance(folded.norm, nn.SequentialCell)
    assert relative_difference(evaluate(folded, x).asnumpy(), evaluate(net, x).asnumpy()) <= 1e-5
    before = state(net)
    with pytest.raises(TraceError, match="what training does with them cannot be seen"):
        trace(net, x)
    assert same_state(state(net), before)
