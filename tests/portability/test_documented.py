"""Every operator of MindSpore that the package uses is documented for CPU, GPU and Ascend."""

import ast
import re
from pathlib import Path

import mindspore as ms
import pytest
from mindspore import nn, ops

PACKAGE = Path(__file__).resolve().parents[2] / "mindspore_gs"
DEVICES = {"Ascend", "GPU", "CPU"}
SPACES = {"ops": ops, "nn": nn, "ms.ops": ops, "ms.nn": nn, "mindspore.ops": ops, "mindspore.nn": nn}
NO_OPERATORS = {  # they compute nothing on a device themselves
    "nn": {"Cell", "CellList", "SequentialCell", "GraphCell", "Optimizer", "ParameterTuple"},
    "ops": {"operations", "Primitive", "ReduceOp", "composite", "primitive", "auto_generate"},
}
RECOGNISED = {"InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "SyncBatchNorm"}  # the user's; never made here


def used():
    """(space, name) of everything that is read from `ops` and `nn`, and the files that do."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and (space := SPACES.get(ast.unparse(node.value))) is not None:
                found.setdefault(("ops" if space is ops else "nn", node.attr), set()).add(path.name)
    return found


USED = used()


def devices(thing):
    """The devices that its documentation names, or that of the function it refers to; None where none does."""
    text = thing.__doc__ or ""
    match = re.search(r"Supported Platforms:\s*\n\s*(.+)", text)
    if match is not None:
        return set(re.findall(r"``(\w+)``", match.group(1)))
    other = re.search(r":func:`mindspore\.ops\.(\w+)", text)
    return devices(getattr(ops, other.group(1))) if other and hasattr(ops, other.group(1)) else None


def test_there_are_many():
    assert len(USED) > 60 and ("ops", "stop_gradient") in USED and ("nn", "BatchNorm2d") in USED


@pytest.mark.parametrize(("space", "name"), sorted(USED), ids=[".".join(pair) for pair in sorted(USED)])
def test_an_operator(space, name):
    if name in NO_OPERATORS[space] | RECOGNISED:
        return
    thing = getattr({"ops": ops, "nn": nn}[space], name)
    found = devices(thing)
    assert found is not None, f"{space}.{name} does not say where it runs; used in {USED[space, name]}"
    assert found >= DEVICES, f"{space}.{name} runs on {found} only; used in {USED[space, name]}"


def test_an_operator_of_one_device_is_seen():
    """The check can fail: MindSpore has operators for one device."""
    one = [name for name in dir(ops) if name[0].isupper() and devices(getattr(ops, name)) == {"Ascend"}]
    assert len(one) > 10 and not set(one) & {name for space, name in USED if space == "ops"}
    assert ms.__version__
