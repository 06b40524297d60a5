"""What belongs to the whole process is changed by one thread at a time, so that each puts back what it found."""

import os
import threading

import mindspore as ms
import pytest
from mindspore import nn

from mindspore_gs._cells import evaluating, in_mode
from mindspore_gs._scratch import nothing_left_behind

CHANGES = {
    "mode": lambda: in_mode(ms.GRAPH_MODE),
    "terminal": nothing_left_behind,
    "depth": lambda: evaluating(nn.ReLU()),
}


def _state():
    return (ms.get_context("mode"), ms.get_context("max_call_depth"), os.fstat(2).st_ino, os.environ.get("MS_OM_PATH"))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_threads_take_turns(change):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    before, found = _state(), []

    def other():
        with nothing_left_behind():
            found.append(_state())

    thread = threading.Thread(target=other)
    with change(), change():  # the same thread may go on
        thread.start()
        thread.join(0.2)
        assert thread.is_alive() and not found
    thread.join()
    assert found[0][:2] == before[:2] and _state() == before
