"""Does an ONNX file compute what the network computes? As far as onnxruntime can tell."""

import logging
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import nn

from mindspore_gs.errors import ExportError, first_line
from mindspore_gs.export.onnx_layers import layers_agree
from mindspore_gs.export.proof import first_doubt
from mindspore_gs.export.sessions import fed, open_session
from mindspore_gs.export.tanh import has_tanh, with_tanh_of_mindspore
from mindspore_gs.slim.check import Verdict

_log = logging.getLogger("mindspore_gs")


class Judge:
    """Compares a file with the network. The file is loaded once, when it is run for the first time.

    Args:
        net: the network, in evaluation mode.
        path: the file.
        as_it_is: whether the file was written from ``net`` itself, so that it has the same layers. Default: False.
    """

    def __init__(self, net: nn.Cell, path: Path, as_it_is: bool = False):
        self.net, self.path, self.as_it_is = net, path, as_it_is

    def doubt(self, probe: tuple[ms.Tensor, ...]) -> Verdict | None:
        """What :func:`first_doubt` finds on a set of inputs; None where onnxruntime is not installed."""
        if self._session is None:
            return None
        doubt = self._found(self._session, probe)
        if doubt is None or self._excused(doubt, probe):
            return None
        if not doubt.different or not has_tanh(self.path):
            return doubt
        again = self._found(self._session_with_tanh, probe)
        if again is None:
            _log.warning("%s: the ONNX file differs by %.1e, because MindSpore's tanh on a CPU is right to 1e-4 only; "
                         "with that tanh it is equal.", type(self.net).__name__, doubt.worst)
        return again

    def _excused(self, doubt: Verdict, probe: tuple[ms.Tensor, ...]) -> bool:
        """Whether rounding explains all that differs, and all layers agree."""
        if doubt.different or not doubt.unknown or not self.as_it_is:
            return False
        if not layers_agree(self.net, self.path, probe, doubt):
            return False
        movement = max(doubt.movement[place] for place in doubt.unknown)
        _log.warning("%s: one rounding of the inputs or weights moves an output by %.1e, so that it does not show "
                     "whether the ONNX file is equal. All its layers are.", type(self.net).__name__, movement)
        return True

    def _found(self, session: Any, probe: tuple[ms.Tensor, ...]) -> Verdict | None:
        return first_doubt(self.net, partial(_run, session), (probe,), self._kinds)

    @cached_property
    def _kinds(self) -> tuple[str, ...]:
        return ("Float16",) if _in_half_precision(self.path) else ()

    @cached_property
    def _session(self) -> Any:
        try:
            return open_session(str(self.path))
        except ImportError:
            _log.warning("the ONNX file has not been run: onnxruntime is not installed")
            return None
        except Exception as error:
            raise ExportError(f"onnxruntime cannot load the file: {first_line(error)}") from error

    @cached_property
    def _session_with_tanh(self) -> Any:
        return open_session(with_tanh_of_mindspore(self.path))


def _in_half_precision(path: Path) -> bool:
    """Whether the network's code converts anything to float16 on the way; engines round there each in its own way."""
    import onnx

    nodes = onnx.load(path).graph.node
    return any(attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT16
               for node in nodes if node.op_type == "Cast" for attribute in node.attribute)


def _run(session: Any, tensors: tuple[ms.Tensor, ...]) -> Any:
    try:
        return session.run(None, fed(session, tensors))
    except Exception as error:
        raise ExportError(f"onnxruntime cannot run the file: {first_line(error)}") from error
