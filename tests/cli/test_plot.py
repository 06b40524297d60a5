"""The picture: one row for each layer, its channels by group, and what is coupled."""

import struct
from xml.etree import ElementTree

import pytest

from mindspore_gs.cli.errors import CommandError
from mindspore_gs.cli.plot import draw, figure_of, plot_path
from mindspore_gs.graph import trace
from mindspore_gs.runs.inspection import inspect_graph
from tests import networks

pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra 'plot')")
SHAPE = (1, 3, 8, 8)


def inspected(build):
    return inspect_graph(trace(build(), SHAPE), build.__name__)


def png_size(path):
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", head[16:])


def test_bars_lines_and_savings():
    result = inspected(networks.OptionA)
    bars, lines, savings = figure_of(result).axes
    assert [label.get_text() for label in bars.get_yticklabels()] == ["stem", "a", "b", "fc"]
    drawn = [(round(p.get_y() + p.get_height() / 2), p.get_x(), p.get_width()) for p in bars.patches]
    assert drawn == [(0, 0, 4), (1, 0, 6), (2, 0, 2), (2, 2, 4), (2, 6, 2), (3, 0, 4)]
    assert [bool(p.get_hatch()) for p in bars.patches] == [False, False, True, False, True, True]
    assert bars.patches[0].get_facecolor() == bars.patches[3].get_facecolor() != bars.patches[1].get_facecolor()
    assert [text.get_text() for text in bars.texts] == ["4", "6", "8, constant", "4, reaches output"]
    assert [list(line.get_ydata()) for line in lines.lines] == [[0, 2]]
    shares = [100 * value for row in result.free for value in (row.half.macs_share, row.half.params_share)]
    assert [p.get_width() for p in savings.patches] == pytest.approx(shares)


def test_coupled_groups_that_overlap_lie_side_by_side():
    _, lines, _ = figure_of(inspected(networks.Options)).axes
    assert sorted((list(line.get_xdata()), list(line.get_ydata())) for line in lines.lines) == [
        ([0, 0], [0, 3]), ([1, 1], [1, 2])]


def test_png_grows_with_the_number_of_layers(tmp_path):
    sizes = []
    for build in (networks.Options, networks.Long):
        draw(inspected(build), tmp_path / "net.png")
        sizes.append(png_size(tmp_path / "net.png"))
    assert all(1200 < width < 2000 and 200 < height < 1000 for width, height in sizes)
    assert sizes[1][1] > sizes[0][1]


def test_svg(tmp_path):
    draw(inspected(networks.Chain), tmp_path / "net.svg")
    assert ElementTree.parse(tmp_path / "net.svg").getroot().tag.endswith("svg")


def test_a_path_is_checked_before_any_work(tmp_path):
    assert plot_path(str(tmp_path / "a.PNG")) == tmp_path / "a.PNG"
    with pytest.raises(CommandError, match=r"ends in .png or .svg, but got 'a.pdf'"):
        plot_path("a.pdf")
    with pytest.raises(CommandError, match="there is no folder"):
        plot_path(str(tmp_path / "no" / "a.png"))


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(CommandError, match=r"pip install 'mindspore-gs-pruner\[plot\]'"):
        plot_path("a.png")


def test_a_file_that_cannot_be_written(tmp_path):
    (tmp_path / "net.png").mkdir()
    with pytest.raises(CommandError, match="cannot be written"):
        draw(inspected(networks.Chain), tmp_path / "net.png")
