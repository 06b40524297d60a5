"""prune_iteratively(): the least sensitive first, masks that stay, a target that is met, files that go on."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindspore_gs import ChannelPruner, summary
from mindspore_gs.analysis import prune_iteratively
from mindspore_gs.errors import CheckpointError, PruningError
from mindspore_gs.masks import Masks
from tests import networks
from tests.helpers import evaluate, image, randomise, relative_difference, same_state, state, train_steps

SHAPE = (1, 3, 8, 8)
LABELS = ms.Tensor(np.random.default_rng(7).integers(0, 4, 32), ms.int32)
DATA = [(image(32, *SHAPE[1:]), LABELS)]


def long():
    return randomise(networks.Long(width=2))


def squares(output, label):
    return (output ** 2).mean() + 0 * label.sum()


@pytest.mark.parametrize("target, options", [
    ({"macs": 0.5}, {}), ({"params": 0.6}, {"residual": "inner", "round_to": 2})], ids=["couple", "inner"])
def test_the_target_is_met_and_masked_equals_slim(target, options):
    net, stays, seen = long(), [], []
    before = state(net)

    def fine_tune(masked):
        seen.append(masked)
        stays.append({group.name: mask for group, mask in Masks(masked).read().items()})
        train_steps(masked, 1, classes=3)

    found = prune_iteratively(net, fine_tune, target, DATA, loss_fn=squares, rounds=3, inputs=SHAPE, **options)
    assert same_state(before, state(net)) and len({id(each) for each in seen}) == 1
    kind, share = next(iter(target.items()))
    report = summary(net, found.small, SHAPE)
    assert abs({"macs": report.macs_ratio, "params": report.params_ratio}[kind] - share) <= 0.02
    assert [each.share for each in found.rounds] == pytest.approx([share ** (k / 3) for k in (1, 2, 3)], abs=0.02)
    for early, late in zip(stays, stays[1:]):
        assert all((late[name] <= early[name]).all() for name in early)         # what is masked stays so
    assert {name: int(mask.sum()) for name, mask in stays[-1].items()} == found.rounds[-1].kept
    assert relative_difference(evaluate(found.small, image(*SHAPE)), evaluate(found.masked, image(*SHAPE))) < 1e-5
    trained = dict(zip((p.name for p in found.masked.get_parameters()), found.masked.get_parameters()))
    assert any(np.abs(p.asnumpy() - trained[p.name].asnumpy()).max() > 1e-4 for p in net.trainable_params())


class Wide(nn.Cell):
    """Two branches of the same cost; one of them hardly counts."""

    def __init__(self):
        super().__init__()
        self.dull, self.key, self.relu = nn.Conv2d(3, 16, 1), nn.Conv2d(3, 16, 1), nn.ReLU()
        self.one, self.two = nn.Conv2d(16, 2, 1), nn.Conv2d(16, 2, 1)

    def construct(self, x):
        return (0.01 * self.one(self.relu(self.dull(x))) + self.two(self.relu(self.key(x)))).mean((2, 3))


def test_the_least_sensitive_group_goes_first():
    net = randomise(Wide())
    whole = evaluate(net, DATA[0][0])

    def away(masked):
        return -float(((masked(DATA[0][0]) - whole) ** 2).mean())

    found = prune_iteratively(net, lambda masked: None, {"macs": 0.6}, metric=away, rounds=2, inputs=SHAPE)
    assert [each.kept["key"] for each in found.rounds] == [16, 16]
    assert found.rounds[0].kept["dull"] > found.rounds[1].kept["dull"]
    assert found.rounds[1].share == pytest.approx(0.6, abs=0.02)
    assert abs(found.rounds[1].tuned) < 1e-3


def test_channels_are_scored_anew_in_each_round():
    net = randomise(nn.SequentialCell(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 2)))
    masks = []

    def fine_tune(masked):
        masks.append(next(iter(Masks(masked).read().values())))
        weight = masked.get_parameters()
        first = next(p for p in weight if p.name == "0.weight")
        grown = first.asnumpy().copy()
        grown[np.flatnonzero(masks[-1])[0]] = 0                   # now the worst of those that are left
        first.set_data(ms.Tensor(grown))

    prune_iteratively(net, fine_tune, {"params": 0.5}, rounds=2, inputs=(1, 4),
                      metric=lambda masked: 1.0)
    assert masks[0].sum() > masks[1].sum()
    assert not masks[1][np.flatnonzero(masks[0])[0]]


def test_a_stopped_run_goes_on_and_its_checkpoint_is_one_of_a_masked_network(tmp_path):
    file, calls = tmp_path / "masked", []

    def fine_tune(masked):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(train_steps(masked, 1, classes=3))

    arguments = {"target": {"macs": 0.5}, "data": DATA, "loss_fn": squares, "rounds": 3, "inputs": SHAPE,
                 "residual": "inner"}
    with pytest.raises(KeyboardInterrupt):
        prune_iteratively(long(), fine_tune, checkpoint=file, **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["masked.ckpt"]
    small = ChannelPruner(input_shape=SHAPE).convert(long(), str(file) + ".ckpt")
    assert abs(summary(long(), small, SHAPE).macs_ratio - 0.5 ** (2 / 3)) <= 0.02
    rest = []
    found = prune_iteratively(long(), rest.append, checkpoint=file, **arguments)
    assert len(rest) == len(found.rounds) == 1 and abs(found.rounds[0].share - 0.5) <= 0.02
    small = ChannelPruner(input_shape=SHAPE).convert(long(), str(file) + ".ckpt")
    assert relative_difference(evaluate(small, image(*SHAPE)), evaluate(found.small, image(*SHAPE))) < 1e-6
    again = prune_iteratively(long(), rest.append, checkpoint=file, **arguments)
    assert again.rounds == () and len(rest) == 1
    with pytest.raises(CheckpointError):
        prune_iteratively(networks.Chain(), rest.append, checkpoint=file, metric=lambda masked: 1.0, inputs=SHAPE)


def test_what_cannot_be_met_is_said_before_anything_is_trained():
    called = []
    for options in ({"target": {"macs": 0.1}, "min_channels": 6}, {"target": {"macs": 0.3}, "ignore": ["layer2.*"]}):
        with pytest.raises(PruningError, match=r"found no channels to remove that leave 0\.\d of the MACs within 0.02"):
            prune_iteratively(long(), called.append, metric=lambda masked: 1.0, inputs=SHAPE, **options)
    assert called == []


@pytest.mark.parametrize("options, error, message", [
    ({"fine_tune": None}, TypeError, "'fine_tune' must be a function that trains the network"),
    ({"rounds": 0}, ValueError, "'rounds' must be an int of at least 1, but got 0"),
    ({"step": 1.0}, ValueError, r"'step' must be a float in \(0.0, 1.0\), but got 1.0"),
    ({"target": {"latency": 0.5}}, ValueError, "'target' must be in MACs or parameters"),
    ({"target": {}}, ValueError, "the 'target' must have exactly one key"),
    ({"scope": "global"}, ValueError, "'scope' is not an option; allowed are residual"),
    ({"data": None}, ValueError, "'data' must be batches of inputs and labels"),
], ids=lambda value: next(iter(value)) if isinstance(value, dict) else "")
def test_mistakes_are_errors(options, error, message):
    with pytest.raises(error, match=message):
        prune_iteratively(**{"net": networks.Chain(), "fine_tune": print, "data": DATA, "inputs": SHAPE} | options)
