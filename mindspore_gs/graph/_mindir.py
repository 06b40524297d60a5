"""Export a network to MindIR and read the file."""

from dataclasses import replace
from typing import Any

import mindspore as ms
from mindspore import nn
from mindspore.train import mind_ir_pb2

from mindspore_gs._cells import evaluating
from mindspore_gs._files import scratch_folder
from mindspore_gs._scratch import nothing_left_behind
from mindspore_gs.errors import TraceError, first_line
from mindspore_gs.graph._decode import decode
from mindspore_gs.graph.ir import Graph


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


def export_graph(net: nn.Cell, inputs: tuple[ms.Tensor, ...], training: bool = False) -> Graph:
    """Export ``net`` to MindIR and read its graph. The caller's network keeps its training flags.

    Args:
        net: the network.
        inputs: what it is called with.
        training: the graph that is trained, with auxiliary heads and dropout, instead of the deployed one.
    """
    with scratch_folder() as folder, evaluating(net), nothing_left_behind():
        path = folder / "trace"
        shown = _InTraining(net) if training else net
        try:
            ms.export(shown, *inputs, file_name=str(path), file_format="MINDIR")
        except Exception as error:
            shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
            raise TraceError(f"{type(net).__name__} cannot be exported to MindIR with inputs of shape {shapes}; "
                             f"pass inputs that the network takes (MindSpore says: {first_line(error)})") from error
        model = mind_ir_pb2.ModelProto()
        model.ParseFromString(path.with_suffix(".mindir").read_bytes())
    return replace(decode(model), training=training)
