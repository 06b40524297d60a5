"""What every test needs before MindSpore is imported, and the mode back after each test."""

import gc
import os
import sys
from pathlib import Path

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # else 3x3 convolutions are a hundred times slower (AVX-512 hosts)
os.environ.setdefault("GLOG_v", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

import mindspore as ms  # noqa: E402
import pytest  # noqa: E402

from tests.lanes import (  # noqa: E402, F401
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_terminal_summary,
    pytest_testnodedown,
)

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="module", autouse=True)
def _short_collections():
    """MindSpore collects garbage at every compilation; what is alive after a file need not be looked at again."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _same_start():
    """Every test starts in PyNative mode with the same seed, whatever the one before it did."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    ms.set_seed(1)
    yield
    ms.set_context(mode=ms.PYNATIVE_MODE)


@pytest.fixture(params=[ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def mode(request):
    """Both modes."""
    ms.set_context(mode=request.param)
    return request.param


@pytest.fixture
def graph_mode():
    """Graph mode for one test."""
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.fixture(scope="session")
def data():
    """The folder with CIFAR-10 and pretrained checkpoints; without it the test is skipped."""
    if not (DATA / "cifar-10-batches-bin").is_dir():
        pytest.skip(f"{DATA} is absent: no CIFAR-10 and no pretrained checkpoints here")
    return DATA
