"""Networks of 300 layers, of a hundred thousand channels, with two hundred layers that lose the same ones."""

import resource
import time

import pytest
from mindspore import nn

from mindspore_gs import export_mindir, load_pruned, prune, save_pruned
from mindspore_gs.graph import trace
from tests.helpers import parameter_count

pytestmark = pytest.mark.slow


class Stream(nn.Cell):
    """A stem, and so many blocks that add to what it makes."""

    def __init__(self, blocks, width=6):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 1)
        self.blocks = nn.CellList([nn.Conv2d(width, width, 1) for _ in range(blocks)])
        self.head = nn.Conv2d(width, 2, 1)

    def construct(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


def row(layers, width=4):
    """Convolutions in a row."""
    return nn.SequentialCell(nn.Conv2d(3, width, 1), *(nn.Conv2d(width, width, 1) for _ in range(layers - 1)))


@pytest.fixture
def said(request):
    """What a test took, for docs/reliability.md: `pytest -s`."""
    begin = time.monotonic()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n{request.node.name}: {time.monotonic() - begin:.1f} s, {peak:.0f} MiB at most")


@pytest.mark.parametrize("layers", [300])
def test_layers_in_a_row(layers, said):
    """No limit of recursion has to be raised by the user, in either mode."""
    net = row(layers)
    groups = trace(net, (1, 3, 4, 4)).groups()
    assert len(groups) == layers and sum(group.blocked_by is None for group in groups) == layers - 1
    small = prune(net, prune_rate=0.5, inputs=(1, 3, 4, 4))
    assert all(cell.weight.shape[0] == 2 for cell in list(small)[:-1])


def test_a_deep_network_is_exported_and_stored(said, tmp_path):
    small = prune(row(300), prune_rate=0.5, inputs=(1, 3, 4, 4))
    assert export_mindir(small, (1, 3, 4, 4), tmp_path / "deep").stat().st_size > 300 * 16
    again = load_pruned(lambda: row(300), save_pruned(small, tmp_path / "deep"))
    assert parameter_count(again) == parameter_count(small)


def test_layers_that_lose_the_same_channels(said):
    net = Stream(200)
    groups = [group for group in trace(net, (1, 3, 4, 4)).groups() if group.blocked_by is None]
    assert len(groups) == 1 and groups[0].size == 6
    small = prune(net, prune_rate=0.5, inputs=(1, 3, 4, 4))
    assert all(block.weight.shape[:2] == (3, 3) for block in small.blocks)


def test_many_channels(said):
    net = nn.SequentialCell(nn.Dense(4, 100_000), nn.ReLU(), nn.Dense(100_000, 4))
    small = prune(net, prune_rate=0.5, inputs=(1, 4))
    assert small[0].weight.shape == (50_000, 4) and small[2].weight.shape == (4, 50_000)
