"""Everything that reads a file, as a function of bytes: it accepts them, refuses them in one clear error, or fails.

Used by fuzz.py and test_fuzz.py. What else may come out of a reader (another exception, other numbers, the end of the
process) is a failure, and leaves these functions as an exception.
"""

import atexit
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "resnet50_cifar10"))

from src.config import parse_config  # noqa: E402
from src.errors import InputError  # noqa: E402

from mindspore_gs import ChannelPruner, PrunerFtCompressAlgo, export_mindir, save_pruned  # noqa: E402
from mindspore_gs._checkpoint_file import DamagedError, check_bytes  # noqa: E402
from mindspore_gs._versions import read_note  # noqa: E402
from mindspore_gs.errors import CheckpointError, PlanError, PruningError  # noqa: E402
from mindspore_gs.graph._mindir import check_mindir  # noqa: E402
from mindspore_gs.quantization import SlbQuantAwareTraining  # noqa: E402
from mindspore_gs.quantization.constant import QuantDtype  # noqa: E402
from mindspore_gs.quantization.storage import load_quantized, save_quantized  # noqa: E402
from mindspore_gs.runs.page import page  # noqa: E402
from mindspore_gs.runs.run_record import FORMAT, read_document  # noqa: E402
from mindspore_gs.slim import PrunePlan  # noqa: E402
from tests.helpers import randomise  # noqa: E402

SHAPE = (1, 1, 4, 4)
FOLDER = Path(tempfile.mkdtemp(prefix="readers"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
SUM = 32  # bytes of the checksum of a .slb file


def network() -> nn.Cell:
    """What the files are made from."""
    return nn.SequentialCell(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1))


@cache
def samples(kind: str) -> tuple[bytes, ...]:
    """Whole files of a kind."""
    return _MAKERS[kind]()


def _slim() -> nn.Cell:
    masked = ChannelPruner(prune_rate=0.5, input_shape=SHAPE).apply(randomise(network()))
    return PrunerFtCompressAlgo().convert(masked)


def _checkpoints() -> tuple[bytes, ...]:
    masked = ChannelPruner(prune_rate=0.5, input_shape=SHAPE).apply(randomise(network()))
    ms.save_checkpoint(masked, str(FOLDER / "masked.ckpt"))
    return save_pruned(_slim(), FOLDER / "slim.ckpt").read_bytes(), (FOLDER / "masked.ckpt").read_bytes()


def _plans() -> tuple[bytes, ...]:
    text = _slim().prune_plan.to_json()
    document = json.loads(text)
    del document["checksum"]
    return text.encode(), json.dumps(document).encode()


def _mindirs() -> tuple[bytes, ...]:
    net = _slim().set_train(False)
    ms.export(net, ms.ops.ones(SHAPE), file_name=str(FOLDER / "raw"), file_format="MINDIR")
    return export_mindir(net, SHAPE, FOLDER / "own").read_bytes(), (FOLDER / "raw.mindir").read_bytes()


def _quantized() -> tuple[bytes, ...]:
    algorithm = SlbQuantAwareTraining(quant_dtype=(QuantDtype.INT8, QuantDtype.INT2))
    return (save_quantized(algorithm.convert(algorithm.apply(randomise(network()))), FOLDER / "net").read_bytes(),)


def _records() -> tuple[bytes, ...]:
    sizes = {"before": 2, "after": 1, "ratio": 0.5}
    document = {"format": FORMAT, "run": "0", "network": "n", "command": "c", "environment": {"python": "3"},
                "residual": "keep", "inputs": [[1, 2]], "params": sizes, "macs": sizes,
                "layers": [{"layer": "a", "channels": [1, 2], "params": [1, 2], "macs": [1, 2]}],
                "blocked": [{"layers": ["a"], "channels": 3, "reason": "R", "sentence": "s", "operator": "o",
                             "place": "p"}], "files": {"slim.ckpt": 7}, "accuracy": {"dense": 0.5},
                "latency": {"engine": "e", "before": 1.0, "after": 0.5},
                "scores": [{"layers": ["a"], "kept": 1, "scores": [2.0, 1.0]}],
                "sensitivities": [{"layer": "a", "rates": [0.1, 0.5], "numbers": [0.9, 0.5]}],
                "training": {"fine-tuning": [{"epoch": 1, "loss": 0.5}]}}
    return (json.dumps(document).encode(),)


def _configs() -> tuple[bytes, ...]:
    return (b"net: resnet20\nepochs: 8\nlr: 0.05\ntarget_macs: 0.5\nrates: {layer1: 0.2}\nignore: [a]\nexport: no\n",
            b"a: &a [1, 2]\nrates: {b: *a}\nseed: 2020-01-01\ndata_path: null\n")


_MAKERS: dict[str, Callable[[], tuple[bytes, ...]]] = {
    "checkpoint": _checkpoints, "plan": _plans, "mindir": _mindirs, "slb": _quantized, "record": _records,
    "config": _configs}


def read_checkpoint(content: bytes) -> bool:
    """What is accepted is loaded by MindSpore, which would end the process for what is wrong."""
    try:
        check_bytes(memoryview(content))
    except DamagedError as error:
        assert str(error) and "\n" not in str(error)
        return False
    path = FOLDER / "some.ckpt"
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    if content and content[:1] == b"\n":
        ms.load_checkpoint(str(path))
    if content not in samples("checkpoint") and content[-17:-10] == b"crc_num":
        raise AssertionError("a file with a checksum was changed, and this was not seen")
    return True


def read_plan(content: bytes) -> bool:
    """What is accepted is written and read again."""
    try:
        plan = PrunePlan.from_json(content.decode("utf-8", "replace"))
    except PlanError:
        return False
    assert PrunePlan.from_json(plan.to_json()) == plan
    return True


def read_mindir(content: bytes) -> bool:
    """A file of ours is accepted if it is the same message."""
    from mindspore.train import mind_ir_pb2

    path = FOLDER / "some.mindir"
    path.write_bytes(content)
    try:
        check_mindir(path)
    except DamagedError as error:
        assert "\n" not in str(error)
        return False
    if read_note(mind_ir_pb2.ModelProto.FromString(content), "mindspore_gs.sha256") is not None:
        assert content == samples("mindir")[0]
    return True


def read_slb(content: bytes) -> bool:
    """As it is, and with a checksum that fits, as a stranger would write it; then numbers may be others."""
    accepted = False
    for signed in (content, content[:-SUM] + hashlib.sha256(content[:-SUM]).digest()):
        path = FOLDER / "some.slb"
        path.write_bytes(signed)
        try:
            net = load_quantized(network, path)
        except CheckpointError:
            continue
        accepted = True
        if signed is content:
            own = load_quantized(network, FOLDER / "net.slb")
            assert all(np.array_equal(a.asnumpy(), b.asnumpy()) for a, b in zip(net.get_parameters(),
                                                                               own.get_parameters()))
    return accepted


def read_record(content: bytes) -> bool:
    """What is accepted becomes a page."""
    path = FOLDER / "results.json"
    path.write_bytes(content)
    try:
        document = read_document(str(path))
    except PruningError:
        return False
    assert "<script" not in page(document)
    return True


def read_config(content: bytes) -> bool:
    """YAML of the example."""
    path = FOLDER / "some.yaml"
    path.write_bytes(content)
    try:
        parse_config(["--config_path", str(path)], "demo_digits.yaml", "about")
    except InputError:
        return False
    return True


READERS: dict[str, Callable[[bytes], bool]] = {
    "checkpoint": read_checkpoint, "plan": read_plan, "mindir": read_mindir, "slb": read_slb, "record": read_record,
    "config": read_config}
os.environ.setdefault("GLOG_v", "3")
