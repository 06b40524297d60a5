"""sensitivity(): masks only, each point what the slim network would give, files that go on where they stopped."""

import csv
import json
import struct
from xml.etree import ElementTree

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindspore_gs import ChannelPruner
from mindspore_gs._cells import copy_network
from mindspore_gs.analysis import GroupSensitivity, Point, Sensitivity, sensitivity
from mindspore_gs.analysis.sensitivities import checked_rates
from mindspore_gs.errors import PruningError
from tests import networks
from tests.helpers import image, randomise, same_state, state

SHAPE = (1, 3, 8, 8)
LABELS = ms.Tensor(np.random.default_rng(7).integers(0, 4, 32), ms.int32)
DATA = [(image(32, *SHAPE[1:], seed=k), LABELS) for k in range(2)]


@pytest.fixture
def net():
    return randomise(networks.Identity())  # a stream of 8 channels, and 6 inside of the block


def accuracy(net, data=DATA):
    net.set_train(False)
    return np.mean([(net(x).asnumpy().argmax(1) == y.asnumpy()).mean() for x, y in data])


def sliced(net, name, rate):
    """The slim network in which one group alone has lost channels."""
    other = {"stem": "a", "a": "stem"}[name]
    pruner = ChannelPruner(rates={f"{name}.weight": rate, f"{other}.weight": 0.0}, input_shape=SHAPE)
    return pruner.convert(pruner.apply(copy_network(net)))


def test_each_point_is_the_accuracy_of_the_slim_network(net, mode):
    before = state(net)
    found = sensitivity(net, DATA, rates=(0.5, 0.2), inputs=SHAPE)
    assert same_state(before, state(net))
    assert [(group.name, group.members, group.size) for group in found.groups] == [
        ("stem", ("stem", "b"), 8), ("a", ("a",), 6)]
    assert found.rates == (0.2, 0.5) and found.metric == "accuracy" and found.higher_is_better
    assert found.baseline == pytest.approx(accuracy(net))
    assert [[point.kept for point in group.points] for group in found.groups] == [[7, 4], [5, 3]]
    for group in found.groups:
        for point in group.points:
            assert point.value == pytest.approx(accuracy(sliced(net, group.name, point.rate)))


def test_a_loss_and_a_function_of_the_users(net):
    def squares(output, label):
        return ((output - label.reshape(-1, 1)) ** 2).mean()

    def negative(masked):
        assert not masked.training
        return -np.mean([float(squares(masked(x), y)) for x, y in DATA])

    loss = sensitivity(net, DATA, rates=(0.5,), loss_fn=squares, inputs=SHAPE)
    own = sensitivity(net, metric=negative, rates=(0.5,), inputs=SHAPE)
    assert (loss.metric, loss.higher_is_better, own.metric, own.higher_is_better) == ("loss", False, "negative", True)
    np.testing.assert_allclose(loss.table(), own.table(), rtol=1e-4)
    assert loss.baseline == pytest.approx(-own.baseline, rel=1e-5)
    assert loss.lost(loss.groups[0])[0] == pytest.approx(loss.groups[0].points[0].value - loss.baseline)


def test_a_small_group_is_measured_once_for_each_number_of_channels(net):
    calls = []

    def counting(masked):
        calls.append(accuracy(masked, DATA[:1]))
        return calls[-1]

    found = sensitivity(net, metric=counting, rates=(0.1, 0.15, 0.2, 0.25, 0.3), inputs=SHAPE)
    assert [[point.kept for point in group.points] for group in found.groups] == [[8, 7, 7, 6, 6], [6, 6, 5, 5, 5]]
    assert len(calls) == 1 + 2 + 1
    assert found.groups[0].points[0].value == found.baseline


def test_statistics_of_the_batch(mode):
    """A constant channel shifts the statistics of what reads it, and nothing else."""
    net = nn.SequentialCell(nn.Conv2d(3, 2, 1, has_bias=True), nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), nn.Flatten())
    randomise(net)
    net[0].weight.set_data(ms.Tensor(np.array([[1e-3] * 3, [1.0, -2.0, 1.0]], np.float32).reshape(2, 3, 1, 1)))
    net[0].bias.set_data(ms.Tensor([5.0, 0.0], ms.float32))
    for x, _ in DATA * 10:
        net.set_train(True)(x)
    net.set_train(False)
    wanted = [(x, net(x)) for x, _ in DATA]
    lost = {}
    for own in (False, True):
        found = sensitivity(net, wanted, rates=(0.5,), loss_fn=lambda output, label: ((output - label) ** 2).mean(),
                            inputs=SHAPE, batch_statistics=own)
        lost[own] = found.lost(found.groups[0])[0]
    assert lost[False] > 0.2 and abs(lost[True]) < 0.01 * lost[False]


# Files


def test_an_interrupted_run_loses_nothing(net, tmp_path):
    file, whole, calls = tmp_path / "found.json", [], []
    sensitivity(net, metric=lambda masked: whole.append(0) or accuracy(masked), rates=(0.3, 0.6), inputs=SHAPE)

    def metric(masked):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(accuracy(masked))
        return calls[-1]

    with pytest.raises(KeyboardInterrupt):
        sensitivity(net, metric=metric, rates=(0.3, 0.6), inputs=SHAPE, file=file)
    assert [len(group.points) for group in Sensitivity.from_json(file).groups] == [2, 0]
    rest = []

    def metric(masked):  # noqa: F811 (the same name: it is the same metric)
        rest.append(accuracy(masked))
        return rest[-1]

    found = sensitivity(net, metric=metric, rates=(0.3, 0.6), inputs=SHAPE, file=file)
    assert len(whole) == 5 and len(rest) == 1 + 2  # the baseline tells whether the data are the same
    again = sensitivity(net, metric=metric, rates=(0.3, 0.6), inputs=SHAPE)
    np.testing.assert_array_equal(found.table(), again.table())
    more = sensitivity(net, metric=metric, rates=(0.9,), inputs=SHAPE, file=file, seed=np.int64(0))
    assert more.rates == (0.3, 0.6, 0.9) and Sensitivity.from_json(file) == more
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]


def test_a_file_of_something_else_is_refused(net, tmp_path):
    file = tmp_path / "found.json"
    sensitivity(net, DATA, rates=(0.5,), inputs=SHAPE, file=file)
    text = file.read_text()
    other = randomise(networks.Identity(), seed=1)
    for what, call in {
            "'weights'": lambda: sensitivity(other, DATA, rates=(0.5,), inputs=SHAPE, file=file),
            "'network' is 'Identity', and here it is 'Chain'": lambda: sensitivity(
                networks.Chain(), rates=(0.5,), metric=lambda masked: 1.0, inputs=SHAPE, file=file),
            "'criterion' is 'l1', and here it is 'l2'": lambda: sensitivity(
                net, DATA, criterion="l2", rates=(0.5,), inputs=SHAPE, file=file),
            "'residual' is 'couple', and here it is 'inner'": lambda: sensitivity(
                net, DATA, residual="inner", rates=(0.5,), inputs=SHAPE, file=file),
            "'metric' is 'accuracy', and here it is 'loss'": lambda: sensitivity(
                net, DATA, loss_fn=ops.cross_entropy, rates=(0.5,), inputs=SHAPE, file=file),
            "other data: the accuracy of the whole network was": lambda: sensitivity(
                net, [(x, LABELS * 0 + 3) for x, _ in DATA], rates=(0.5,), inputs=SHAPE, file=file)}.items():
        with pytest.raises(PruningError, match=what):
            call()
    assert file.read_text() == text
    file.write_text("{")
    with pytest.raises(PruningError, match="is no file of a sensitivity analysis"):
        sensitivity(net, DATA, rates=(0.5,), inputs=SHAPE, file=file)


def example(values, higher=True, name="conv"):
    points = tuple(Point(rate, round(10 * (1 - rate)), value) for rate, value in zip((0.2, 0.4, 0.6, 0.8), values))
    group = GroupSensitivity(name, (name, "b"), (f"{name}.weight", "b.weight"), 10, points)
    return Sensitivity({"network": "Net", "criterion": "l1"}, "accuracy" if higher else "loss", higher, 0.9, (group,))


def test_json_csv_and_table(tmp_path, capsys):
    found = example((0.89, 0.85, 0.7, 0.1))
    assert Sensitivity.from_json(found.to_json(tmp_path / "deep" / "a.json")) == found
    assert json.loads((tmp_path / "deep" / "a.json").read_text())["groups"][0]["points"][1] == {
        "rate": 0.4, "kept": 6, "value": 0.85}
    rows = list(csv.reader(found.to_csv(tmp_path / "a.csv").open()))
    assert rows[0] == ["group", "members", "channels", "rate", "kept", "accuracy", "lost"] and len(rows) == 5
    assert rows[4][:6] == ["conv", "conv b", "10", "0.8", "2", "0.1"] and float(rows[4][6]) == pytest.approx(0.8)
    found.print()
    printed = capsys.readouterr().out
    assert all(text in printed for text in ("conv and 1 more", "0.89", "0.7", "whole network: 0.9"))


@pytest.mark.parametrize("change", [
    {"identity": []}, {"baseline": "0.9"}, {"baseline": float("nan")}, {"metric": None}, {"more": 1}, {"groups": 1},
    {"groups": [{"name": "a", "members": ["a"], "weights": [], "size": 4, "points": []}]},
    {"groups": [{"name": "a", "members": ["a"], "weights": ["w"], "size": 4,
                 "points": [{"rate": 0.5, "kept": 2, "value": None}]}]}], ids=lambda change: next(iter(change)))
def test_a_file_with_other_things_in_it_is_refused(change, tmp_path):
    file = example((0.89, 0.85, 0.7, 0.1)).to_json(tmp_path / "a.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(PruningError, match="is no file of a sensitivity analysis"):
        Sensitivity.from_json(file)


def test_rates_may_be_an_array():
    assert checked_rates("sensitivity", np.linspace(0.25, 0.75, 3)) == (0.25, 0.5, 0.75)


def test_the_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra 'plot')")
    from mindspore_gs.analysis.figure import figure_of

    found = Sensitivity({"network": "Net", "criterion": "l1"}, "accuracy", True, 0.9,
                        tuple(example((0.89, 0.85, 0.7, value), name=f"layer{k}").groups[0]
                              for k, value in enumerate((0.1, 0.5, 0.89))))
    lines, cells = figure_of(found).axes[:2]
    drawn = [line.get_ydata() for line in lines.lines if len(line.get_xdata()) == 5]
    assert [list(each)[-1] for each in drawn] == [0.1, 0.5, 0.89] and all(each[0] == 0.9 for each in drawn)
    np.testing.assert_allclose(cells.images[0].get_array(), found.table())
    assert [label.get_text() for label in cells.get_yticklabels()] == ["layer0", "layer1", "layer2"]
    assert [text.get_text() for text in cells.texts][:4] == ["0.01", "0.05", "0.2", "0.8"]
    head = found.plot(tmp_path / "a.png").read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", head[16:])[0] > 900
    assert ElementTree.parse(found.plot(tmp_path / "a.svg")).getroot().tag.endswith("svg")
    with pytest.raises(ValueError, match=r"must end in .png or .svg, but got '.*a.pdf'"):
        found.plot(tmp_path / "a.pdf")


# Rates


@pytest.mark.parametrize("values, loss, rate", [
    ((0.89, 0.85, 0.7, 0.1), 0.05, 0.4), ((0.89, 0.85, 0.7, 0.1), 0.125, 0.5), ((0.89, 0.85, 0.7, 0.1), 1.0, 0.8),
    ((0.89, 0.85, 0.7, 0.1), 0.0, 0.0), ((0.89, 0.85, 0.7, 0.1), 0.005, 0.1), ((0.95, 0.85, 0.7, 0.1), 0.0, 0.2),
    ((0.6, 0.9, 0.9, 0.9), 0.15, 0.1)],
    ids=["at a point", "between two", "beyond the last", "nothing", "before the first", "better than whole", "a dip"])
@pytest.mark.parametrize("higher", [True, False], ids=["accuracy", "loss"])
def test_the_highest_rate_that_loses_no_more(values, loss, rate, higher):
    found = example(values if higher else tuple(1.8 - value for value in values), higher)
    assert found.rates_for(loss) == {"conv.weight": pytest.approx(rate)}


def test_groups_that_share_a_weight_get_the_lowest_rate():
    one, two = example((0.89, 0.85, 0.7, 0.1)), example((0.9, 0.9, 0.9, 0.9))
    both = Sensitivity(one.identity, "accuracy", True, 0.9, (two.groups[0], one.groups[0]))
    assert both.rates_for(0.05) == {"conv.weight": pytest.approx(0.4)}


@pytest.mark.parametrize("loss", [-0.1, float("nan"), float("inf"), "0.1", True])
def test_a_loss_that_is_none(loss):
    with pytest.raises(ValueError, match="'loss' must be a number of at least 0"):
        example((0.9,) * 4).rates_for(loss)


def test_a_pruner_takes_the_rates(net):
    found = sensitivity(net, DATA, rates=(0.25, 0.5, 0.75), inputs=SHAPE)
    rates = found.rates_for(0.1)
    pruner = ChannelPruner(rates=rates, input_shape=SHAPE)
    small = pruner.convert(pruner.apply(net))
    assert small.stem.weight.shape[0] == 8 - int(8 * rates["stem.weight"])
    assert small.a.weight.shape[0] == 6 - int(6 * rates["a.weight"])


# Refusals


@pytest.mark.parametrize("options, error, message", [
    ({"rates": (0.5, 1.0)}, ValueError, r"'rates' must be shares between 0 and 1"),
    ({"rates": np.zeros((2, 2))}, TypeError, "'rates' must be a list of floats"),
    ({"rates": 0.5}, TypeError, r"'rates' must be a list of floats such as \(0.25, 0.5\), but got 0.5"),
    ({"rates": []}, ValueError, "'rates' must be shares"),
    ({"metric": 3}, TypeError, "'metric' must be a function, but got 3"),
    ({"metric": accuracy, "loss_fn": ops.cross_entropy}, ValueError, "exclude each other"),
    ({"data": None}, ValueError, "'data' must be batches of inputs and labels"),
    ({"data": iter(DATA)}, ValueError, "an iterator can be read only once"),
    ({"data": []}, ValueError, "needs at least one batch, but the data are empty"),
    ({"data": [DATA[0][0]]}, TypeError, "needs batches of the network's inputs and the label"),
    ({"data": [(DATA[0][0], DATA[0][0])]}, PruningError, "the accuracy is for outputs of shape"),
    ({"data": [(image(4, 5, 8, 8), LABELS[:4])]}, PruningError, r"have the shapes \(4, 5, 8, 8\), \(4,\)"),
    ({"metric": lambda net: None}, TypeError, "returns a number, but <lambda> returned 'NoneType'"),
    ({"metric": lambda net: float("nan")}, PruningError, "of Identity is nan, which cannot be compared"),
    ({"criterion": "best"}, ValueError, "the 'criterion' must be one of"),
    ({"ignore": "stem"}, TypeError, "the 'ignore' must be a list of cell-name patterns"),
    ({"batch_statistics": 1}, TypeError, "'batch_statistics' must be True or False, but got 1"),
    ({"file": ""}, ValueError, "'file' must be the path of a file"),
], ids=lambda value: next(iter(value)) if isinstance(value, dict) else "")
def test_mistakes_are_errors(options, error, message, net):
    arguments = {"data": DATA, "rates": (0.5,), "inputs": SHAPE} | options
    with pytest.raises(error, match=message):
        sensitivity(net, **arguments)
