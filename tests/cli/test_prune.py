"""prune, export, report: the files that they leave are right, and mistakes are one line."""

import json

import mindspore as ms
import numpy as np
import pytest

from mindspore_gs import load_mindir, load_pruned
from mindspore_gs.analysis import GroupSensitivity, Point, Sensitivity
from tests import networks
from tests.helpers import evaluate, image, randomise

pytest.importorskip("click", reason="click is not installed (extra 'cli')")

from click.testing import CliRunner  # noqa: E402

from mindspore_gs.cli.commands import commands  # noqa: E402

SHAPE = ("--input", "1,3,8,8")


def run(*arguments):
    return CliRunner().invoke(commands, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    """A folder that ``prune`` wrote, from trained weights in a file."""
    folder = tmp_path_factory.mktemp("cli")
    net = networks.Long()
    ms.save_checkpoint(net, str(folder / "dense.ckpt"))
    result = run("prune", "tests.networks:Long", *SHAPE, "--checkpoint", folder / "dense.ckpt", "--prune-rate", 0.5,
                 "--criterion", "l2", "--out", folder / "out", "--json")
    assert result.exit_code == 0, result.stderr
    return folder, net, json.loads(result.stdout)


def test_the_files_hold_the_small_network(pruned):
    folder, _, document = pruned
    small = load_pruned(networks.Long, folder / "out" / "slim.ckpt")
    x = image(1, 3, 8, 8)
    expected = evaluate(small, x).asnumpy()
    np.testing.assert_allclose(load_mindir(folder / "out" / "slim.mindir")(x).asnumpy(), expected, atol=1e-5)
    assert document["params"]["after"] == sum(p.size for p in small.trainable_params())
    assert document["params"]["after"] < document["params"]["before"]
    assert document["files"]["slim.ckpt"] == (folder / "out" / "slim.ckpt").stat().st_size
    assert json.loads((folder / "out" / "results.json").read_text()) == document


def test_the_weights_are_those_of_the_checkpoint(pruned):
    folder, net, _ = pruned
    small = load_pruned(networks.Long, folder / "out" / "slim.ckpt")
    own = {p.name: p.asnumpy() for p in net.get_parameters()}
    for p in small.get_parameters():
        assert np.isin(p.asnumpy(), own[p.name]).all(), p.name


def batches():
    """What a user's module would give."""
    return [(image(4, 3, 8, 8), ms.Tensor(np.arange(4) % 3, ms.int32))]


def no_loss(output, label):
    """A loss of a user's that can be told from cross entropy."""
    raise ZeroDivisionError("this loss was called")


@pytest.mark.parametrize("options", [("--criterion", "taylor"), ("--criterion", "redundancy"), ("--compensate",)],
                         ids=["gradients", "activations", "compensation"])
def test_data_of_the_users_are_used(options, tmp_path):
    command = ("prune", "tests.networks:Long", *SHAPE, "--prune-rate", 0.5, "--out", tmp_path / "out", "--json")
    without = run(*command, *options)
    assert without.exit_code == 2 and "needs 'data'" in without.stderr
    result = run(*command, *options, "--data", "tests.cli.test_prune:batches")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["params"]["ratio"] < 0.9


def test_a_loss_of_the_users_is_used(tmp_path):
    result = run("prune", "tests.networks:Long", *SHAPE, "--prune-rate", 0.5, "--out", tmp_path / "out", "--criterion",
                 "fisher", "--data", "tests.cli.test_prune:batches", "--loss", "tests.cli.test_prune:no_loss")
    assert result.exit_code == 1 and "this loss was called" in result.stderr


def sensitivity_in(path):
    """A file of ``mindspore-gs sensitivity``, with made up numbers."""
    group = GroupSensitivity("stem", ("stem", "layer1.0.conv2"), ("stem.weight",), 8, (Point(0.5, 4, 0.8),))
    return Sensitivity({}, "accuracy", True, 0.9, (group,)).to_json(path)


def test_accuracy_latency_and_summaries_are_written_where_they_are_asked_for(tmp_path):
    """The accuracy is that of the two networks on the batches, counted here once more."""
    net = randomise(networks.Long(), 3)
    ms.save_checkpoint(net, str(tmp_path / "dense.ckpt"))
    result = run("prune", "tests.networks:Long", *SHAPE, "--checkpoint", tmp_path / "dense.ckpt", "--prune-rate", 0.5,
                 "--eval", "tests.cli.test_prune:batches", "--time", "--summary", tmp_path / "sum", "--sensitivity",
                 sensitivity_in(tmp_path / "sensitivity.json"), "--out",
                 tmp_path / "out", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    small = load_pruned(networks.Long, tmp_path / "out" / "slim.ckpt")
    (x, label), = batches()
    expected = {stage: float((evaluate(n, x).asnumpy().argmax(1) == label.asnumpy()).mean())
                for stage, n in (("dense", net), ("pruned", small))}
    assert document["accuracy"] == expected
    assert document["latency"]["engine"] == "mindspore"
    assert 0 < document["latency"]["after"] < 1 and 0 < document["latency"]["before"] < 1
    channels = {row["layer"]: row["channels"] for row in document["layers"]}
    coupled = [(layer, [row["kept"], len(row["scores"])]) for row in document["scores"] for layer in row["layers"]]
    assert len(coupled) >= 6 and all(channels[layer] == pair for layer, pair in coupled)
    assert all(row["scores"] == sorted(row["scores"], reverse=True) for row in document["scores"])
    assert list((tmp_path / "sum" / "mindspore").iterdir())
    assert document["sensitivities"] == [{"layer": "stem, layer1.0.conv2", "metric": "accuracy", "rates": [0.0, 0.5],
                                          "numbers": [0.9, 0.8]}]
    text = (tmp_path / "out" / "report.html").read_text()
    for heading in ("Accuracy at each stage", "Scores of the channels", "latency in mindspore",
                    "The accuracy of the network when one group"):
        assert heading in text


@pytest.mark.parametrize(("name", "message"), [
    ("unlabelled", "needs batches of the network's inputs and the label"),
    ("strange", "--eval is for outputs of shape (samples, classes) and labels of shape (samples,)"),
    ("large", "cannot be run on a batch whose inputs and label have the shapes (1, 5, 8, 8), (1,)"),
    ("nothing", "--eval gave no batch")])
def test_batches_that_do_not_fit_are_one_line(name, message, tmp_path):
    result = run("prune", "tests.networks:Long", *SHAPE, "--prune-rate", 0.5, "--out", tmp_path / "out", "--eval",
                 f"tests.cli.test_prune:{name}")
    assert result.exit_code in (1, 2) and result.stdout == ""
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and message in last


def unlabelled():
    return [image(1, 3, 8, 8)]


def strange():
    return [(image(1, 3, 8, 8), image(1, 5))]


def large():
    return [(image(1, 5, 8, 8), ms.Tensor([0], ms.int32))]


def nothing():
    return []


def test_a_name_in_the_page_is_text(pruned, tmp_path):
    document = pruned[2] | {"network": "<script>alert(1)</script>"}
    (tmp_path / "results.json").write_text(json.dumps(document))
    result = run("report", tmp_path / "results.json")
    text = (tmp_path / "report.html").read_text()
    assert result.exit_code == 0 and "<script" not in text and "&lt;script&gt;alert(1)" in text
    assert all(f"<td>{row['layer']}</td>" in text for row in document["layers"])
    assert "http" not in text and "src=" not in text  # it needs nothing else


def test_export_writes_what_it_was_asked_for(pruned, tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")
    folder = pruned[0]
    result = run("export", "tests.networks:Long", *SHAPE, "--checkpoint", folder / "out" / "slim.ckpt", "--format",
                 "onnx", "--out", tmp_path / "x.onnx", "--json")
    assert result.exit_code == 0, result.stderr
    written = tmp_path / "x.onnx"
    assert json.loads(result.stdout) == {"file": str(written), "bytes": written.stat().st_size}


def test_int8_from_data_of_the_users(pruned, tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")
    command = ("export", "tests.networks:Long", *SHAPE, "--checkpoint", pruned[0] / "out" / "slim.ckpt", "--out",
               tmp_path / "x.onnx")
    result = run(*command, "--format", "int8", "--data", "tests.cli.test_prune:batches")
    assert result.exit_code == 0, result.stderr
    assert b"QuantizeLinear" in (tmp_path / "x.onnx").read_bytes() and len(list(tmp_path.iterdir())) == 1
    for options, message in ((("--format", "int8"), "--format int8 needs --data module:callable"),
                             (("--data", "tests.cli.test_prune:batches"), "--data is for --format int8, but the format "
                                                                          "is mindir")):
        wrong = run(*command, *options)
        assert wrong.exit_code == 2 and message in wrong.stderr


@pytest.mark.parametrize(("options", "code", "message"), [
    (("--macs", "2"), 2, "the 'target['macs']' must be in range of (0.0, 1.0), but got 2.0"),
    (("--macs", "0.5", "--prune-rate", "0.5"), 2, "give one of --macs, --prune-rate, not several"),
    (("--criterion", "best"), 2, "or module:function for one of your own, but got 'best'"),
    (("--criterion", "scop"), 2, "one of apoz, hrank, chip, taylor, fisher, redundancy, thinet, lasso, l1, l2, "
                                 "l1_greedy, l2_greedy, bn_gamma, fpgm, random, or module:function for one of your"),
    (("--criterion", "tests.networks:nothing"), 2, "module 'tests.networks' has no 'nothing'"),
    (("--ignore", "nowhere"), 2, "the 'ignore' 'nowhere' matches no layer"),
    (("--rate", "layer"), 2, "--rate must be LAYER=RATE, such as layer1=0.2, but got 'layer'"),
    (("--checkpoint", "missing.ckpt"), 1, "there is no checkpoint at missing.ckpt"),
    (("--input", "1,3,8,8", "--out", "a/b"), 1, "cannot be exported to MindIR with inputs of shape"),
    (("--round-to", "1000", "--prune-rate", "0.5", "--out", "a/b"), 1, "removes no channel"),
], ids=lambda value: value[0] if isinstance(value, tuple) else "")
def test_a_mistake_is_one_line(options, code, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("prune", "tests.networks:Long", *SHAPE, *options)
    assert result.exit_code == code and result.stdout == ""
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and message in last and "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    result = run("prune", "tests.networks:Long", *SHAPE, "--out", tmp_path / "file" / "out")
    assert result.exit_code == 1 and result.stderr.strip().splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("text", ["", "[1]", '{"format": 2}', "{"])
def test_results_of_something_else(text, tmp_path):
    (tmp_path / "r.json").write_text(text)
    result = run("report", tmp_path / "r.json")
    assert result.exit_code == 2 and result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


def test_results_that_are_missing(tmp_path):
    result = run("report", tmp_path / "none.json")
    assert result.exit_code == 2 and "none.json cannot be read (No such file or directory)" in result.stderr
