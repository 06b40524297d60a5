"""onnxruntime runs an ONNX file: the one way in which anything here opens one."""

from collections.abc import Sequence
from typing import Any

import mindspore as ms
import numpy as np


def open_session(model: str | bytes, threads: int = 0) -> Any:
    """An ``onnxruntime.InferenceSession`` on the processor that prints nothing.

    Args:
        model: path of the file, or its bytes.
        threads: how many it may take; 0 leaves that to onnxruntime.

    Raises:
        ImportError: onnxruntime is not installed.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def fed(session: Any, tensors: Sequence[ms.Tensor]) -> dict[str, np.ndarray]:
    """The tensors as what a session is given, by the names of its inputs."""
    return {entry.name: tensor.asnumpy() for entry, tensor in zip(session.get_inputs(), tensors)}
