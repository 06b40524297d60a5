"""One line on a terminal with the time left, quiet lines in a log, and nothing at all where something is quick."""

import logging
import os
import pty
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.dataset import NumpySlicesDataset
from mindspore.train import Model

from mindspore_gs import progress
from mindspore_gs.progress import Step, TrainingProgress, step, tracked

ROOT = Path(__file__).parents[1]
TERMINAL = """
import time
import mindspore_gs._terminal as terminal
terminal.PATIENCE = {patience}
from mindspore_gs._scratch import nothing_left_behind
from mindspore_gs.progress import step, tracked
with step("outer"):
    with nothing_left_behind():
        for k in tracked(range(4), "inner parts"):
            time.sleep(0.3)
    print("a word between")
print("the end")
"""


def on_a_terminal(code):
    """What a program writes on its terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs, stdin=theirs, cwd=ROOT,
                               env=os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"})
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait(timeout=100) == 0, written.decode()
    return written.decode()


def test_on_a_terminal_the_innermost_step_is_one_line_with_the_time_left():
    written = on_a_terminal(TERMINAL.format(patience=0.2))
    assert "inner parts" in written and re.search(r"[123]/4, \d+ s left", written)
    assert "\x1b[2K" in written  # the line is erased before it is written again
    assert "a word between\r\n" in written and written.rstrip().endswith("the end")


def test_what_is_quick_shows_nothing_on_a_terminal():
    written = on_a_terminal(TERMINAL.format(patience=60))
    assert "inner" not in written and "outer" not in written and "the end" in written


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 0.05)
    monkeypatch.setattr(progress, "INTERVAL", 0.0)


def test_a_log_gets_a_line_when_it_takes_long_and_at_the_end(impatient, caplog, capsys):
    caplog.set_level(logging.INFO, "mindspore_gs.progress")
    for _ in tracked([1, 2], "counting"):
        time.sleep(0.1)
    texts = [record.getMessage() for record in caplog.records]
    assert texts[0] == "counting: 0 of 2"
    assert re.fullmatch(r"counting: 1 of 2, \d s left", texts[1]) and texts[-1].startswith("counting: done after 0.")
    assert capsys.readouterr() == ("", "")  # nothing is printed


def test_what_is_quick_is_not_in_the_log(caplog):
    caplog.set_level(logging.INFO, "mindspore_gs.progress")
    with step("quick", 3) as running:
        running.advance(3)
    assert not caplog.records and running.done == 3


def test_the_time_left_follows_from_what_is_done(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    running, unknown = Step("x", 8), Step("y")
    monkeypatch.setattr(time, "monotonic", lambda: 106.0)
    assert running.where() == "0 of 8" and unknown.where() == "6 s so far"
    running.advance(2)
    assert running.where() == "2 of 8, 18 s left"
    assert running.counting(lambda a: a + 1)(4) == 5 and running.done == 3


def test_a_step_ends_when_something_fails_in_it():
    with pytest.raises(ZeroDivisionError), step("failing") as running:
        running._timer = threading.Timer(60, print)
        running._timer.start()
        timer = running._timer
        raise ZeroDivisionError
    timer.join(1)
    assert not timer.is_alive()


def test_generators_have_no_number_unless_it_is_given():
    def numbers():
        yield from (1, 2, 3)

    assert list(tracked(numbers(), "x")) == list(tracked(numbers(), "x", 3)) == [1, 2, 3]


def data(count=12, batch=4):
    images = np.random.default_rng(0).standard_normal((count, 3, 8, 8)).astype(np.float32)
    return NumpySlicesDataset((images, (np.arange(count) % 4).astype(np.int32)), shuffle=False).batch(batch)


def test_training_says_epochs_loss_and_time_left(capsys):
    net = nn.SequentialCell(nn.Flatten(), nn.Dense(3 * 8 * 8, 10))
    ends = []

    class Watch(ms.train.Callback):
        def on_train_step_end(self, run_context):
            ends.append(float(run_context.original_args().net_outputs.asnumpy()))

    watched = TrainingProgress("fine-tuning")
    model = Model(net, nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"),
                  nn.SGD(net.trainable_params(), 1e-4))
    model.train(2, data(), [Watch(), watched, TrainingProgress("")], dataset_sink_mode=False)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fine-tuning: ")]
    steps = len(ends) // 2
    means = [np.mean(ends[:steps]), np.mean(ends[steps:])]
    assert [line.split(",")[0] for line in lines] == ["fine-tuning: epoch 1 of 2", "fine-tuning: epoch 2 of 2"]
    assert all(f"loss {mean:.4f}" in line for mean, line in zip(means, lines)) and lines[1].endswith(", 0 s left")
    assert [entry["epoch"] for entry in watched.log] == [1, 2]
    np.testing.assert_allclose([entry["loss"] for entry in watched.log], means, rtol=1e-6)
