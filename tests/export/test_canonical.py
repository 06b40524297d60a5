"""Equal networks are equal bytes, in every process; and what is written anew is the same network."""

import os
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore.train import mind_ir_pb2

from mindspore_gs import export_mindir, load_mindir
from mindspore_gs._versions import read_note
from mindspore_gs.graph._canonical import make_canonical
from mindspore_gs.graph._decode import decode
from mindspore_gs.graph._mindir import write_canonical
from tests import networks
from tests.export.exported_twice import NETWORKS, Branch
from tests.helpers import image, randomise

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (1, 3, 8, 8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """What three processes have written, which did other things before and hash text otherwise."""
    found = []
    for number, history in enumerate(("at-once", "busy", "at-once")):
        found.append(tmp_path_factory.mktemp(f"process{number}"))
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(number)}
        subprocess.run([sys.executable, "-m", "tests.export.exported_twice", str(found[-1]), history], cwd=ROOT,
                       env=environment, check=True, capture_output=True, timeout=300)
    return found


@pytest.mark.parametrize("name", [*NETWORKS, "Branch"])
def test_every_process_writes_the_same_bytes(name, folders):
    one, *others = [(folder / f"{name}.mindir").read_bytes() for folder in folders]
    assert all(one == other for other in others)


def test_the_weights_count(tmp_path):
    net = randomise(networks.Long())
    first = export_mindir(net, SHAPE, tmp_path / "a").read_bytes()
    assert export_mindir(net, SHAPE, tmp_path / "b").read_bytes() == first
    net.fc.bias.set_data(net.fc.bias + 1e-6)
    assert export_mindir(net, SHAPE, tmp_path / "a").read_bytes() != first


def model_of(path):
    model = mind_ir_pb2.ModelProto()
    model.ParseFromString(path.read_bytes())
    return model


def raw(net, inputs, path):
    ms.export(net, *inputs, file_name=str(path), file_format="MINDIR")
    return path.with_suffix(".mindir")


@pytest.mark.parametrize("steps", [0, 3])
def test_functions_are_called_as_before(steps, tmp_path):
    """Both sides of the branch, and another number of rounds."""
    net, n = randomise(Branch()), ms.Tensor(steps)
    path = raw(net, (image(2, 4), ms.Tensor(0)), tmp_path / "branch")
    inputs = [image(2, 4), -image(2, 4)]
    before = [load_mindir(path)(x, n).asnumpy() for x in inputs]
    write_canonical(path)
    assert all(np.array_equal(load_mindir(path)(x, n).asnumpy(), old) for x, old in zip(inputs, before))
    assert len(model_of(path).functions) >= 4


def test_nothing_is_lost_and_names_of_the_user_stay(tmp_path):
    path = raw(randomise(networks.Long()).set_train(False), (image(*SHAPE),), tmp_path / "long")
    before = model_of(path)
    write_canonical(path)
    after = model_of(path)
    ends = [[p.name.split(":")[-1] for p in model.graph.parameter] for model in (before, after)]
    assert ends[0] == ends[1]
    assert all(p.name.startswith("main:") for p in (*after.graph.parameter, *after.graph.input))
    assert [p.raw_data for p in before.graph.parameter] == [p.raw_data for p in after.graph.parameter]
    one, other = decode(before), decode(after)
    assert [(n.op, n.attrs, n.shape, len(n.inputs)) for n in one.nodes] == [
        (n.op, n.attrs, n.shape, len(n.inputs)) for n in other.nodes]
    assert [n.scope for n in one.nodes] == [n.scope for n in other.nodes]
    content = path.read_bytes()
    write_canonical(path)
    assert path.read_bytes() == content and len(read_note(after, "mindspore_gs.sha256")) == 64


def test_a_name_for_two_things_is_left_alone(tmp_path):
    path = raw(networks.Long(), (image(*SHAPE),), tmp_path / "long")
    model = model_of(path)
    model.graph.node[1].output[0] = model.graph.node[0].output[0]
    before = model.SerializeToString(deterministic=True)
    assert not make_canonical(model) and model.SerializeToString(deterministic=True) == before
