"""What is written for TensorBoard and for MindSpore's viewers is read back, and is the numbers of the run."""

import struct
import sys
from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.dataset import NumpySlicesDataset
from mindspore.train import Model, summary_pb2

from mindspore_gs import ChannelPruner, PrunerKfCompressAlgo
from mindspore_gs.pruner.scop.callback import scale_statistics
from mindspore_gs.runs import RunRecord, read_document
from mindspore_gs.summaries import SummaryCallback, SummaryWriter, write_summaries
from tests.batches import Features
from tests.helpers import randomise

SHAPE = (1, 3, 8, 8)


def events(folder, kind, event):
    """The events in the one file of ``folder``: length, checksum, message, checksum, over and over."""
    path, = (folder / kind).iterdir()
    data, found = path.read_bytes(), []
    while data:
        length, = struct.unpack("<Q", data[:8])
        message = event()
        message.ParseFromString(data[12:12 + length])
        found.append(message)
        data = data[16 + length:]
    return found


def of_mindspore(folder):
    """(tag, step): number, and the tags of distributions with their counts."""
    scalars, histograms = {}, {}
    for event in events(folder, "mindspore", summary_pb2.Event):
        for value in event.summary.value:
            if value.HasField("scalar_value"):
                scalars[value.tag, event.step] = value.scalar_value
            elif value.HasField("histogram"):
                histograms[value.tag] = value.histogram.count
    return scalars, histograms


def of_tensorboard(folder):
    board = pytest.importorskip("tensorboardX.proto.event_pb2", reason="tensorboardX is missing (extra 'summary')")
    scalars, histograms = {}, {}
    for event in events(folder, "tensorboard", board.Event):
        for value in event.summary.value:
            if value.HasField("histo"):
                histograms[value.tag] = value.histo.num
            else:
                scalars[value.tag, event.step] = value.simple_value
    return scalars, histograms


@pytest.fixture(scope="module")
def run():
    """A record of a network that was really pruned."""
    net = randomise(Features())
    pruner = ChannelPruner(prune_rate=0.5, input_shape=SHAPE)
    small = pruner.shrink(net)
    log = [{"epoch": 1, "loss": 2.0, "seconds": 1.0}, {"epoch": 2, "loss": 1.5, "seconds": 1.0}]
    return RunRecord.of(net, small, SHAPE, rankings=pruner.rankings, accuracy={"dense": 0.75, "pruned": 0.5},
                        latency={"engine": "mindspore", "before": 0.004, "after": 0.002}, training={"tuning": log})


@pytest.mark.parametrize("read", [of_mindspore, of_tensorboard], ids=["mindspore", "tensorboard"])
def test_the_numbers_of_a_run_are_read_back(read, run, tmp_path):
    document = run.document()
    write_summaries(document, tmp_path)
    scalars, histograms = read(tmp_path)
    expected = {("run/params_ratio", 0): document["params"]["ratio"], ("run/macs_ratio", 0): document["macs"]["ratio"],
                ("run/accuracy/dense", 0): 0.75, ("run/accuracy/pruned", 0): 0.5, ("run/latency_ms/before", 0): 4.0,
                ("run/latency_ms/after", 0): 2.0, ("channels/conv", 0): 0.5, ("channels/conv2", 0): 0.6,
                ("channels/head", 0): 1.0, ("tuning/loss", 1): 2.0, ("tuning/loss", 2): 1.5}
    assert scalars == pytest.approx(expected, rel=1e-6)
    assert histograms == {"scores/conv": 6, "scores/conv2": 5}


def data():
    images = np.random.default_rng(0).standard_normal((12, 3, 8, 8)).astype(np.float32)
    return NumpySlicesDataset((images, (np.arange(12) % 4).astype(np.int32)), shuffle=False).batch(4)


class Losses(ms.train.Callback):
    """Keeps the loss of each step."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_train_step_end(self, run_context):
        self.found.append(float(run_context.original_args().net_outputs.asnumpy()))


def fit(net, *callbacks, epochs=2):
    Model(net, nn.CrossEntropyLoss(), nn.Momentum(net.trainable_params(), 0.01, 0.9)).train(
        epochs, data(), callbacks=list(callbacks), dataset_sink_mode=False)


@pytest.mark.parametrize("read", [of_mindspore, of_tensorboard], ids=["mindspore", "tensorboard"])
def test_the_course_of_the_knockoff_phase_is_read_back(read, tmp_path):
    net, losses = PrunerKfCompressAlgo(input_shape=SHAPE).apply(randomise(Features())), Losses()
    fit(net, losses, SummaryCallback(tmp_path, "knockoff"))
    scalars, _ = read(tmp_path)
    assert [scalars["knockoff/loss", k] for k in range(1, 7)] == pytest.approx(losses.found, rel=1e-6)
    for row in scale_statistics(net):
        assert scalars[f"knockoff/scale/{row['layer']}", 6] == pytest.approx(row["mean"], rel=1e-6)
        assert scalars[f"knockoff/losing/{row['layer']}", 6] == pytest.approx(row["losing"], rel=1e-6)
    assert len(scalars) == 6 + 2 * 2 * len(scale_statistics(net))


def test_masks_are_read_back(tmp_path):
    net = ChannelPruner(prune_rate=0.5, input_shape=SHAPE).apply(randomise(Features()))
    fit(net, SummaryCallback(tmp_path, "tuning", every=4), epochs=1)
    scalars, _ = of_mindspore(tmp_path)
    assert scalars == pytest.approx({("tuning/channels/conv", 3): 0.5, ("tuning/channels/conv2", 3): 0.6})


def test_files_are_closed_when_a_step_fails(tmp_path):
    class Fails(ms.train.Callback):
        def on_train_step_end(self, run_context):
            raise ZeroDivisionError

    callback = SummaryCallback(tmp_path)
    with pytest.raises(ZeroDivisionError):
        fit(randomise(Features()), callback, Fails())
    assert callback._writer is None and ("training/loss", 1) in of_mindspore(tmp_path)[0]


def test_a_run_whose_loss_was_not_finite_is_written_down(run, tmp_path):
    """NumPy's numbers are Python's in the file, and NaN, which JSON does not know, is null."""
    log = [{"epoch": 1, "loss": np.float32(2.5)}, {"epoch": 2, "loss": float("nan")}]
    record = replace(run, training={"tuning": log}, accuracy={"dense": np.float32(0.5)})
    document = record.write(tmp_path / "run")
    assert read_document(tmp_path / "run" / "results.json") == document
    assert document["training"]["tuning"] == [{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": None}]
    assert "loss 2.5 to nan, 2 epochs" in (tmp_path / "run" / "report.html").read_text()
    write_summaries(document, tmp_path)
    assert of_mindspore(tmp_path)[0]["tuning/loss", 1] == 2.5


def test_without_tensorboardx_one_file_is_written_and_it_is_said(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "mindspore_gs")
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.setattr("mindspore_gs.summaries.find_spec", lambda name: None)
    writer = SummaryWriter(tmp_path)
    writer.scalars({"a": 1.0}, 3)
    writer.close()
    assert of_mindspore(tmp_path)[0] == {("a", 3): 1.0} and not (tmp_path / "tensorboard").exists()
    assert "pip install 'mindspore-gs-pruner[summary]'" in caplog.text


def test_every_must_be_a_number_of_steps():
    with pytest.raises(ValueError, match="'every' must be at least 1, but got 0"):
        SummaryCallback("x", every=0)
