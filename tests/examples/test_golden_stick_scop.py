"""examples/golden_stick_scop: the model zoo's keys on the command line, from a dense checkpoint to a slim MindIR."""

import re
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import pytest

from mindspore_gs import load_mindir
from tests.helpers import example_network, image

FOLDER = Path(__file__).parents[2] / "examples" / "golden_stick_scop"


def start(script, *arguments, folder):
    command = [sys.executable, str(FOLDER / script), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, text=True, capture_output=True, timeout=900, check=False)


@pytest.mark.long
def test_train_eval_and_train_again(tmp_path):
    (tmp_path / "my.yaml").write_text(
        "net_name: resnet20\ntrain_image_size: 32\neval_image_size: 32\nbatch_size: 360\nepoch_kf: 1\nepoch_ft: 5\n"
        "lr_max_kf: 0.05\nlr_max_ft: 1e-2\nfp32_ckpt: dense.ckpt\npre_trained: ''\nboost_mode: O0\n")
    ms.save_checkpoint(example_network("resnet20"), str(tmp_path / "dense.ckpt"))
    done = start("train.py", "--config_path", "my.yaml", "--prune_rate", 0.5, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "my.yaml has keys that are not used here: boost_mode" in done.stdout
    assert "channels lose against their knockoffs" in done.stdout
    size = int(re.search(r" bytes, ([\d,]+) parameters", done.stdout).group(1).replace(",", ""))
    assert 0 < size < 0.6 * sum(p.size for p in example_network("resnet20").trainable_params())
    assert load_mindir(tmp_path / "output" / "checkpoint" / "slim.mindir")(image(1, 3, 32, 32)).shape == (1, 10)
    checkpoint, = (tmp_path / "output" / "checkpoint").glob("resnet*.ckpt")
    found = start("eval.py", "--config_path", "my.yaml", "--checkpoint_file_path", checkpoint, folder=tmp_path)
    assert found.returncode == 0, found.stderr[-3000:]
    rows = dict(re.findall(r"^(masked|slim): accuracy ([\d.]+)% on 360 images", found.stdout, re.M))
    assert rows["masked"] == rows["slim"]
    assert f"slim: accuracy {rows['slim']}% on 360 images, {size:,} parameters" in found.stdout
    again = start("train.py", "--config_path", "my.yaml", "--pre_trained", checkpoint, "--epoch_ft", 1, "--output_path",
                  "again", folder=tmp_path)
    assert again.returncode == 0, again.stderr[-3000:]
    assert "knockoff" not in again.stdout and f"{size:,} parameters" in again.stdout


@pytest.mark.parametrize(("script", "arguments", "message"), [
    ("train.py", (), "give --fp32_ckpt FILE, the trained dense network"),
    ("train.py", ("--fp32_ckpt", "none.ckpt"), "there is no checkpoint at none.ckpt"),
    ("eval.py", ("--epoch_kf", "many"), "epoch_kf must be a number such as 1, but got 'many'")])
def test_a_mistake_is_one_line(script, arguments, message, tmp_path):
    done = start(script, *arguments, folder=tmp_path)
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith("error: ") and message in done.stderr
