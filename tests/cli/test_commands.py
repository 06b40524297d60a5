"""The command as it is typed: results on stdout, one line on stderr when something is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mindspore_gs.cli import main

pytest.importorskip("click", reason="click is not installed (extra 'cli')")

from click.testing import CliRunner  # noqa: E402

from mindspore_gs.cli.commands import commands  # noqa: E402

ROOT = Path(__file__).parents[2]
SHAPE = ("--input", "1,3,8,8")
USER = '''
import sys
from tests import networks
print("noise on stdout")
network = networks.Chain()
number = 3

def build(classes=4, names=(), text="x"):
    print("more noise")
    assert type(classes) is int and list(names) == ["a", "b"] and text == "relu", (classes, names, text)
    return networks.Long(classes)

def nothing():
    return None

def fails():
    raise KeyError("first line\\nsecond line")

def leaves():
    sys.exit("gone")
'''


def inspect(*arguments):
    return CliRunner().invoke(commands, ["inspect", *arguments])


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """A module of the user's in the current directory; its name is not used by any other test."""
    (tmp_path / "train_net.py").write_text(USER)
    (tmp_path / "broken_net.py").write_text("import there_is_no_such_package\n")
    monkeypatch.chdir(tmp_path)
    yield "train_net"
    for name in ("train_net", "broken_net"):
        sys.modules.pop(name, None)


def test_tables():
    result = inspect("tests.networks:OptionA", *SHAPE)
    assert result.exit_code == 0 and result.stderr == ""
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.stdout.splitlines() if "│" in line]
    assert lines[0][:2] == ["stem, b", "4"] and lines[1][:2] == ["a", "6"]
    assert lines[2:] == [["b", "4", "CONSTANT", "Add", "the network itself"],
                         ["fc", "4", "REACHES_OUTPUT", "BiasAdd", "fc"]]
    assert "CONSTANT: the channel meets entries that are no layer's channels" in result.stdout
    assert "OptionA, input (1, 3, 8, 8): 828 parameters" in result.stdout
    assert "groups (residual=couple): 2 free, 2 blocked" in result.stdout


def test_keep_is_another_policy():
    kept = json.loads(inspect("tests.networks:Projection", *SHAPE, "--residual", "keep", "--json").stdout)
    assert [g["blocked"] and g["blocked"]["reason"] for g in kept["groups"]] == [
        "FIRST_CONVOLUTION", "SHORTCUT", None, None, "REACHES_OUTPUT"]


@pytest.mark.parametrize("norms, free", [("keep", 32), ("recompute", 40)])
def test_streams_behind_layer_normalisations(norms, free):
    document = json.loads(inspect("tests.slim.test_layer_norms:Next", *SHAPE, "--norms", norms, "--json").stdout)
    assert sum(group["channels"] for group in document["groups"] if group["blocked"] is None) == free


def test_several_inputs():
    document = json.loads(inspect("tests.networks:TwoInputs", *SHAPE, "--input", "1,2,8,8", "--json").stdout)
    assert document["inputs"] == [[1, 3, 8, 8], [1, 2, 8, 8]]


def test_the_input_is_guessed():
    assert json.loads(inspect("tests.networks:Chain", "--json").stdout)["inputs"] == [[1, 3, 32, 32]]


def test_a_module_in_the_current_directory(user_module):
    path = list(sys.path)
    result = inspect("train_net:build", *SHAPE, "--json", "--arg", "classes=7", "--arg", 'names=["a", "b"]',
                     "--arg", "text=relu")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["network"] == "Long" and document["groups"][-1]["channels"] == 7
    assert "noise on stdout" in result.stderr and "more noise" in result.stderr
    assert sys.path == path


def test_a_network_is_taken_as_it_is(user_module):
    assert json.loads(inspect("train_net:network", *SHAPE, "--json").stdout)["network"] == "Chain"


def test_plot_and_json_together(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra 'plot')")
    result = inspect("tests.networks:Chain", *SHAPE, "--json", "--plot", str(tmp_path / "chain.png"))
    assert json.loads(result.stdout)["network"] == "Chain"
    assert (tmp_path / "chain.png").read_bytes().startswith(b"\x89PNG")


WRONG = {
    "no colon": (["tests.networks"], 2, "TARGET must be module:callable"),
    "no module": (["no_such_module:build"], 2, "there is no module 'no_such_module'"),
    "a file": (["network.py:build"], 2, "A module is named without its ending: 'network'."),
    "no submodule": (["tests.no_such_module:build"], 2, "there is no module 'tests.no_such_module'"),
    "no callable": (["tests.networks:NoSuch"], 2, "module 'tests.networks' has no 'NoSuch'"),
    "not callable": (["train_net:number"], 2, "train_net:number is of type int; it must be a callable"),
    "not a cell": (["train_net:nothing"], 2, "train_net:nothing returned 'NoneType'"),
    "arguments for a network": (["train_net:network", "--arg", "n=1"], 2, "takes no --arg"),
    "unknown argument": (["tests.networks:Chain", "--arg", "n=1"], 2, "got an unexpected keyword argument 'n'"),
    "missing argument": (["tests.networks:Block"], 2, "missing a required argument: 'inputs'"),
    "no literal": (["tests.networks:Chain", "--arg", "n={[]: 1}"], 2, "got an unexpected keyword argument 'n'"),
    "argument without value": (["tests.networks:Chain", "--arg", "n"], 2, "--arg must be name=value"),
    "input": (["tests.networks:Chain", "--input", "1,3,8,x"], 2, "--input must be positive integers"),
    "zero": (["tests.networks:Chain", "--input", "1,3,0,8"], 2, "--input must be positive integers"),
    "picture": (["tests.networks:Chain", "--plot", "chain.pdf"], 2, "ends in .png or .svg"),
    "import fails": (["broken_net:build"], 1, "(ModuleNotFoundError: No module named 'there_is_no_such_package')"),
    "call fails": (["train_net:fails"], 1, "train_net:fails failed (KeyError: "),
    "call leaves": (["train_net:leaves"], 1, "train_net:leaves failed (SystemExit: gone)"),
    "wrong channels": (["tests.networks:Chain", "--input", "1,5,8,8"], 1, "Chain cannot be exported to MindIR"),
    "nothing to guess from": (["tests.networks:NoConvolution"], 1, "has no nn.Conv2d to guess an input from"),
}


@pytest.mark.parametrize("arguments, status, message", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_line(user_module, arguments, status, message):
    result = inspect(*arguments)
    assert result.exit_code == status and isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    line = result.stderr.splitlines()[-1]
    assert line.startswith("error: ") and message in line
    assert sum("error: " in text for text in result.stderr.splitlines()) == 1 and "Traceback" not in result.stderr


def test_without_click_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "click", None)
    with pytest.raises(SystemExit, match=r"pip install 'mindspore-gs-pruner\[cli\]'"):
        main()


def test_as_a_module_stdout_is_nothing_but_json():
    run = subprocess.run([sys.executable, "-m", "mindspore_gs", "inspect", "tests.networks:Chain", *SHAPE, "--json"],
                         cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["params"] == 914


def test_a_network_of_the_zoo():
    pytest.importorskip("mindcv", reason="mindcv is not installed; it is a zoo of networks to try the command on")
    result = inspect("mindcv.models:resnet18", "--input", "1,3,64,64", "--arg", "num_classes=10", "--json")
    document = json.loads(result.stdout)
    assert document["params"] == 11_181_642 and document["groups"][-1]["channels"] == 10
    assert max(len(group["members"]) for group in document["groups"]) == 3
