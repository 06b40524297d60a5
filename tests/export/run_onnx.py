"""Run an ONNX file."""

import numpy as np

from mindspore_gs import export_onnx
from mindspore_gs._cells import tensors_in
from tests.helpers import evaluate, image


def run_onnx(path, *inputs):
    """What the file computes from MindSpore tensors: a list of arrays."""
    import onnxruntime
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {entry.name: x.asnumpy() for entry, x in zip(session.get_inputs(), inputs)})


def worst_difference(path, net, *inputs):
    """The largest difference of an output of file and network, over the larger of 1 and the output's largest number.

    Infinite where number, shapes or types of the outputs differ.
    """
    got, expected = run_onnx(path, *inputs), [x.asnumpy() for x in tensors_in(evaluate(net, *inputs))]
    if [x.shape for x in got] != [x.shape for x in expected] or [x.dtype for x in got] != [x.dtype for x in expected]:
        return np.inf
    return max(float(np.max(np.abs(a.astype(np.float64) - b), initial=0) / np.max(np.abs(b), initial=1))
               for a, b in zip(got, expected))


def worst_of_batches(net, folder, shape):
    """The worst difference at the traced batch and at the batches 1 and 3; infinite where the batch is not open."""
    import onnx
    path = export_onnx(net, shape, folder / "net")
    if onnx.load(path).metadata_props[0].value != "open":
        return np.inf
    return max(worst_difference(path, net, image(batch, *shape[1:], seed=batch)) for batch in (1, 2, 3))
