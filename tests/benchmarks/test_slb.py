"""benchmarks/slb.py: the straight-through estimator by hand, and one file for each run."""

import json

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.common.dtype import QuantDtype

from benchmarks import slb
from benchmarks.networks import network
from benchmarks.stored_runs import stored_run
from benchmarks.straight_through import plain_weights, round_weights
from mindspore_gs import SlbQuantAwareTraining
from mindspore_gs.quantization.slb.values import best_scales, candidates
from tests import networks
from tests.helpers import evaluate, image, randomise, relative_difference, train_steps


def rounded(kind=QuantDtype.INT2):
    config = SlbQuantAwareTraining(quant_dtype=kind)._config
    return round_weights(randomise(networks.Identity()), config)


@pytest.mark.parametrize("kind, bits", [(QuantDtype.INT1, 1), (QuantDtype.INT2, 2), (QuantDtype.INT4, 4)])
def test_a_rounded_weight_is_the_nearest_candidate_times_the_scale(kind, bits):
    float_weight = randomise(networks.Identity()).a.weight.asnumpy()
    scale = best_scales(float_weight, bits).reshape(-1, 1, 1, 1)
    distance = np.abs(float_weight[..., None] / scale[..., None] - candidates(bits))
    expected = candidates(bits)[distance.argmin(-1)] * scale
    np.testing.assert_allclose(rounded(kind).a.weight.asnumpy(), expected, rtol=1e-5, atol=1e-6)


def test_the_gradient_goes_straight_through_and_stops_outside(mode):
    """That of the rounded weight itself, where the float weight over its scale lies within [-1, 1]."""
    net, x = rounded(), image(2, 3, 8, 8)
    latent, scale = net.a.ste_latent.asnumpy(), net.a.ste_scale.asnumpy().reshape(-1, 1, 1, 1)
    plain = plain_weights(net)
    found = []
    for each, weight in ((net, net.a.ste_latent), (plain, plain.a.weight)):
        found.append(ms.value_and_grad(Squares(each), None, ms.ParameterTuple([weight]))(x)[1][0].asnumpy())
    inside = np.abs(latent) <= scale
    assert inside.any() and not inside.all()
    np.testing.assert_allclose(found[0], found[1] * inside, rtol=1e-4, atol=1e-6)
    assert np.abs(found[0]).max() > 1e-3


class Squares(nn.Cell):
    def __init__(self, net):
        super().__init__(auto_prefix=False)
        self.net = net
        self.set_train(False)

    def construct(self, x):
        return (self.net(x) ** 2).mean()


def test_it_trains_and_becomes_plain(graph_mode):
    net = rounded()
    losses = train_steps(net, steps=8, rate=0.02)
    small = plain_weights(net)
    x = image(2, 3, 8, 8)
    assert losses[-1] != losses[0]
    assert relative_difference(evaluate(small, x), evaluate(net, x)) < 1e-5
    assert type(small.a).__name__ == "Conv2d" and len(np.unique(small.a.weight.asnumpy()[0])) <= 4
    assert [p.name for p in small.get_parameters()] == [p.name for p in networks.Identity().get_parameters()]


def row(way, seed, trained):
    found = {"way": way, "bits": 1, "lr": 0.1, "seed": seed, "dense": 90.0, "trained": trained}
    return found | ({} if way == "straight_through" else {"bytes": {"float": 1000, "packed": 80}})


def test_the_table_has_mean_and_spread():
    options = {"net": "resnet20", "epochs": 8, "train_images": 0, "seeds": [0, 1]}
    table = slb.table({"options": options, "rows": [row("slb", 0, 80.0), row("slb", 1, 82.0),
                                                    row("straight_through", 0, 79.0),
                                                    row("straight_through", 1, 79.0)]})
    assert list(table.columns[4].cells) == ["81.00 +- 1.00", "79.00 +- 0.00"]
    assert list(table.columns[5].cells) == ["0.080", "as SLB"]


def test_a_stored_run_is_not_done_again(tmp_path):
    done = []
    first = stored_run(tmp_path / "run.json", {"lr": 0.1}, lambda: done.append(1) or {"x": 1.5})
    assert stored_run(tmp_path / "run.json", {"lr": 0.1}, lambda: done.append(1) or {"x": 2.5}) == json.loads(
        (tmp_path / "run.json").read_text())
    assert len(done) == 1 and first["x"] == 1.5 and "commit" in first
    with pytest.raises(ValueError, match="is of a run with other settings"):
        stored_run(tmp_path / "run.json", {"lr": 0.2}, dict)


@pytest.mark.slow
def test_the_three_ways_have_one_budget(tmp_path):
    ms.save_checkpoint(network("resnet20"), str(tmp_path / "net.ckpt"))
    words = ["--out", str(tmp_path / "runs"), "--pretrained", str(tmp_path / "net.ckpt"), "--train_images", "32",
             "--eval_images", "16", "--batch", "8", "--epochs", "2"]
    rows = slb.measure(slb.parser().parse_args(words))["rows"]
    assert [(row["way"], len(row["losses"])) for row in rows] == [(way, 2) for way in slb.WAYS]
    assert rows[0]["bytes"]["packed"] < 0.2 * rows[0]["bytes"]["float"]
    assert slb.measure(slb.parser().parse_args(words))["rows"] == rows
