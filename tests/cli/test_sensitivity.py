"""mindspore-gs sensitivity: files, tables, what it prints for prune, and mistakes in one line."""

import json
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from mindspore_gs.analysis import Sensitivity
from tests import networks
from tests.helpers import image

pytest.importorskip("click", reason="click is not installed (extra 'cli')")

from click.testing import CliRunner  # noqa: E402

from mindspore_gs.cli.commands import commands  # noqa: E402

HERE = "tests.cli.test_sensitivity"
COMMON = ("sensitivity", "tests.networks:Identity", "--input", "1,3,8,8", "--rates", "0.25,0.5")


def batches():
    """What a user's module would give."""
    return [(image(8, 3, 8, 8), ms.Tensor(np.arange(8) % 4, ms.int32))]


def squares(output, label):
    """A loss of the user's."""
    return ((output - label.reshape(-1, 1)) ** 2).mean()


def first_weight(net):
    """A metric of the user's, with more for larger weights that are left."""
    net(batches()[0][0])
    return float(abs(net.a.weight.asnumpy()).sum())


def run(*arguments):
    return CliRunner().invoke(commands, [str(argument) for argument in (*COMMON, *arguments)])


def test_files_and_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ms.save_checkpoint(networks.Identity(), "dense.ckpt")
    result = run("--data", f"{HERE}:batches", "--loss", f"{HERE}:squares", "--checkpoint", "dense.ckpt", "--csv",
                 "a.csv", "--allow", "1000", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert [[point["kept"] for point in group["points"]] for group in document["groups"]] == [[6, 4], [5, 3]]
    assert document["metric"] == "loss" and document["rates"] == {"stem.weight": 0.5, "a.weight": 0.5}
    stored = Sensitivity.from_json("sensitivity.json")
    assert stored.baseline == document["baseline"] and len(Path("a.csv").read_text().splitlines()) == 5
    again = run("--data", f"{HERE}:batches", "--loss", f"{HERE}:squares", "--checkpoint", "dense.ckpt", "--json")
    assert json.loads(again.stdout)["groups"] == document["groups"]
    other = run("--data", f"{HERE}:batches", "--loss", f"{HERE}:squares")          # other random weights
    assert other.exit_code == 1 and "sensitivity.json belongs to another analysis: its 'weights'" in other.stderr


def test_table_picture_and_rates_for_prune(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra 'plot')")
    result = run("--metric", f"{HERE}:first_weight", "--out", tmp_path / "a.json", "--plot", tmp_path / "a.png",
                 "--allow", "0")
    assert result.exit_code == 0, result.stderr
    assert "stem and 1 more" in result.stdout and "first_weight with a share" in result.stdout
    assert "each group loses at most 0 by itself: --rate stem.weight=" in result.stdout
    assert (tmp_path / "a.png").stat().st_size > 5000


@pytest.mark.parametrize("options, code, message", [
    ((), 2, "'data' must be batches of inputs and labels"),
    (("--rates", "a"), 2, "--rates must be numbers with commas, such as 0.25,0.5,0.75, but got 'a'"),
    (("--metric", f"{HERE}:first_weight", "--rates", "1.5"), 2, "'rates' must be shares between 0 and 1"),
    (("--criterion", "best"), 2, "--criterion must be one of"),
    (("--metric", f"{HERE}:nothing"), 2, f"module '{HERE}' has no 'nothing'"),
    (("--data", f"{HERE}:batches", "--ignore", "nowhere"), 2, "the 'ignore' 'nowhere' matches no layer"),
    (("--data", f"{HERE}:batches", "--plot", "a.pdf"), 2, "--plot takes a file that ends in .png or .svg"),
    (("--metric", f"{HERE}:first_weight", "--allow", "-1"), 2, "--allow: 'loss' must be a number of at least 0"),
    (("--data", f"{HERE}:batches", "--checkpoint", "missing.ckpt"), 1, "there is no checkpoint at missing.ckpt"),
], ids=lambda value: " ".join(value)[-24:] if isinstance(value, tuple) else "")
def test_a_mistake_is_one_line(options, code, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*options)
    assert result.exit_code == code and result.stdout == ""
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and message in last and "Traceback" not in result.stderr
