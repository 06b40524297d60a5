"""Export a network to MindIR and read the file."""

import hashlib
import re
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import mindspore as ms
from google.protobuf.message import DecodeError
from mindspore import nn
from mindspore.train import mind_ir_pb2

from mindspore_gs._cells import copy_network, evaluating, every_cell, in_mode, methods_without_self, wait_for
from mindspore_gs._checkpoint_file import DamagedError
from mindspore_gs._files import scratch_folder
from mindspore_gs._scratch import nothing_left_behind
from mindspore_gs._versions import read_note, write_note
from mindspore_gs.errors import PruningError, TraceError, first_line
from mindspore_gs.graph._canonical import make_canonical
from mindspore_gs.graph._decode import ITEM_BYTES_OF_TYPE, decode
from mindspore_gs.graph._named import as_plain_tuples
from mindspore_gs.graph.ir import Graph

_CHECKSUM = "mindspore_gs.sha256"
_NONE_YET = "0" * 64
_OBJECT = "__call_func_str__"  # in MindSpore's message where code makes an object of a Python class


class _InTraining(nn.Cell):
    """Shows a network to ``ms.export`` in training mode, which export would switch off."""

    def __init__(self, net: nn.Cell):
        super().__init__(auto_prefix=False)
        self.net = net
        self.net.set_train(True)

    def set_train(self, mode: bool = True) -> nn.Cell:
        """Stay as it is."""
        return self

    def construct(self, *inputs: ms.Tensor) -> Any:
        """What the network returns."""
        return self.net(*inputs)


def export_graph(net: nn.Cell, inputs: tuple[ms.Tensor, ...], training: bool = False, explain: bool = False) -> Graph:
    """Export ``net`` to MindIR and read its graph. The caller's network keeps its training flags.

    Args:
        net: the network.
        inputs: what it is called with.
        training: the graph that is trained, with auxiliary heads and dropout, instead of the deployed one.
        explain: whether to run a copy of a network that cannot be exported, to say if inputs or code are to blame.
    """
    with scratch_folder() as folder, evaluating(net), nothing_left_behind():
        path = folder / "trace"
        shown = _InTraining(net) if training else net
        try:
            _export(shown, inputs, str(path))
        except Exception as error:
            shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
            remedy = _remedy(error, net, _runs(net, inputs) if explain else None)
            raise TraceError(f"{type(net).__name__} cannot be exported to MindIR with inputs of shape {shapes}"
                             f"{_where(error)}; {remedy} (MindSpore says: {first_line(error)})") from error
        model = mind_ir_pb2.ModelProto()
        model.ParseFromString(path.with_suffix(".mindir").read_bytes())
    return replace(decode(model), training=training)


def _export(net: nn.Cell, inputs: tuple[ms.Tensor, ...], path: str) -> None:
    """Export; where code makes objects, which MindSpore refuses, once more with tuples in place of named tuples."""
    try:
        ms.export(net, *inputs, file_name=path, file_format="MINDIR")
    except Exception as error:
        if _OBJECT not in str(error):
            raise
        with as_plain_tuples(net) as any_named:
            if not any_named:
                raise
            ms.export(net, *inputs, file_name=path, file_format="MINDIR")


def _where(error: Exception) -> str:
    """The user's own line that MindSpore's error is about: the last one in neither MindSpore's files nor ours."""
    frames = re.findall(r"^(?:# \d+ )?In file (.+?):(\d+)", str(error), re.M)
    others = {Path(ms.__file__).resolve().parent, Path(__file__).resolve().parents[1]}
    own = [frame for frame in frames if others.isdisjoint(Path(frame[0]).resolve().parents)]
    return f", at {own[-1][0]}:{own[-1][1]}" if own else ""


def _remedy(error: Exception, net: nn.Cell, runs: bool | None) -> str:
    """What to do about an error of the export of a network that runs with its inputs, or not; None: it is not known."""
    if _OBJECT in str(error):
        return "its code makes an object of a Python class, which MindSpore does not export; return a tuple or a dict"
    attribute = _set_while_it_runs(error, bool(runs))
    if attribute:
        return (f"its code sets {attribute} while it runs, which MindSpore exports for a Parameter only (ops.assign): "
                "keep the value in a variable and return it")
    if "JIT strict mode" in str(error):
        return ("its 'construct' computes with Python or NumPy what a file cannot hold: use mindspore.ops, such as "
                "ops.where for a branch, or compute it before the call")
    if "Parameter that wasn't created in nn.Cell" in str(error):
        return ("MindSpore exports parameters that are attributes of a cell or lie in a ParameterTuple, but in no "
                "list; so with cells: keep them as attributes or in an nn.CellList, not in a plain list, tuple or dict")
    unnamed = next((name for cell in every_cell(net) for name in methods_without_self(cell)), "")
    if runs and unnamed:
        return f"Graph mode knows a cell by the name 'self' alone: call the first parameter of {unnamed} 'self'"
    if runs:
        return "the network runs with them in PyNative mode, so change what Graph mode does not take in its code"
    return ("" if runs is None else "it does not run with them either: ") + "pass inputs that the network takes"


def _set_while_it_runs(error: Exception, runs: bool) -> str:
    """The attribute that code sets while it runs, from MindSpore's message; empty where the message is about others.

    An attribute that Graph mode does not know, in a network that runs, is made while it runs.
    """
    changed = re.search(r"modify a member attribute of a class with (self\.\w+)", str(error))
    unknown = re.search(r"object has no attribute '(\w+)'", str(error))
    return changed[1] if changed else f"self.{unknown[1]}" if unknown and runs else ""


def _runs(net: nn.Cell, inputs: tuple[ms.Tensor, ...]) -> bool | None:
    """Whether a copy takes these inputs when its operators are called one by one; None where there is no copy."""
    try:
        twin = copy_network(net)
    except PruningError:
        return None
    with in_mode(ms.PYNATIVE_MODE):
        try:
            wait_for(twin(*inputs))
        except Exception:  # whatever it is, MindSpore's words about the export are what the user gets to read
            return False
    return True


def write_canonical(path: Path) -> None:
    """Write a MindIR file anew, so that equal networks are equal bytes (see ``_canonical.py``), and with a checksum.

    The checksum stands in the file's ``user_info``, where MindSpore lets users put what they like.
    """
    model = _parsed(path.read_bytes())
    make_canonical(model)
    write_note(model, _CHECKSUM, _NONE_YET)
    content = model.SerializeToString(deterministic=True)
    path.write_bytes(content.replace(_NONE_YET.encode(), _digest(content).encode()))


def check_mindir(path: Path) -> None:
    """Look at a MindIR file before MindSpore's loader sees it, which believes what a file says.

    What :func:`write_canonical` wrote is compared with its checksum. Of other files the structure is checked: every
    value, function and operator that is read is there, and every tensor has the bytes that its shape needs.

    Raises:
        DamagedError: the file is cut short, changed, or no MindIR.
    """
    content = path.read_bytes()
    model = _parsed(content)
    noted = read_note(model, _CHECKSUM)
    if noted is None:
        _check_structure(model)
    elif noted != _digest(content.replace(noted.encode(), _NONE_YET.encode())):
        raise DamagedError("is damaged: its contents do not have the checksum that it was written with")


def _parsed(content: bytes) -> Any:
    model = mind_ir_pb2.ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, ValueError, RecursionError) as error:  # text that is none is a ValueError
        raise DamagedError("is cut short, damaged, or no MindIR") from error
    return model


def _digest(content: bytes) -> str:
    """SHA-256 of a file in whose place for it stands nothing yet."""
    return hashlib.sha256(content).hexdigest()


def _check_structure(model: Any) -> None:
    graphs = [model.graph, *model.functions]
    if not model.ir_version or not model.graph.output:
        raise DamagedError("is cut short, damaged, or no MindIR: it has no network")
    known = {primitive.name for primitive in model.primitives}
    for graph in graphs:
        known.add(graph.name)
        known.update(entry.name for entry in (*graph.parameter, *graph.input))
        known.update(name for node in graph.node for name in node.output)
    for graph in graphs:
        called = (node.op_type.removeprefix("REF::") for node in graph.node if node.op_type.startswith("REF::"))
        read = (name for node in graph.node for name in node.input)
        for name in (*called, *read, *(entry.name for entry in graph.output)):
            if name not in known:
                raise DamagedError(f"is damaged: it reads {name!r}, which it does not have")
    for tensor in model.graph.parameter:
        item = ITEM_BYTES_OF_TYPE.get(tensor.data_type)
        if item and len(tensor.raw_data) not in (0, item * prod(tensor.dims)):
            raise DamagedError(f"is damaged: {tensor.name!r} of shape {tuple(tensor.dims)} needs "
                               f"{item * prod(tensor.dims)} bytes, but has {len(tensor.raw_data)}")
