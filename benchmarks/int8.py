"""INT8 after pruning: accuracy, bytes and latency of dense and slim networks, float and INT8, in onnxruntime.

    python benchmarks/int8.py make FOLDER --data_path DATA --pretrained CHECKPOINT     # files and accuracies; resumes
    python benchmarks/int8.py time FOLDER                                              # only timing; resumes
    python benchmarks/int8.py table FOLDER                                             # Markdown

ResNet-20 on CIFAR-10 with the pretrained weights: slim networks have half of the MACs, widths in multiples of 8, and
are repaired without training (compensation with 1,024 training images). MobileNetV2 at 224x224 has random weights:
there only the latency means something. ``make`` may run on a busy machine, ``time`` needs a quiet one. Where
MINDSPORE_GS_LITE names the folder that examples/on_device/build.sh has built, MindSpore Lite's own quantisation takes
part.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import benchmarks.environment  # noqa: E402, F401, I001

import numpy as np  # noqa: E402

from benchmarks.conditions import conditions, warning  # noqa: E402
from benchmarks.int8_lite import lite_rows  # noqa: E402
from benchmarks.performance_files import lines  # noqa: E402
from benchmarks.performance_table import table  # noqa: E402
from benchmarks.performance_times import seconds_in_lite  # noqa: E402
from benchmarks.turns import ratio  # noqa: E402
from mindspore_gs.timing import take_turns  # noqa: E402

NETWORKS = ("ResNet-20", "MobileNetV2")
VERSIONS = ("dense", "couple", "inner")
IMAGES = 512  # training images that show which range activations have
REPAIR = 1024  # training images for compensation
BATCH = 100


def make(folder: Path, data_path: str, pretrained: str, networks: list[str]) -> None:
    """Write the float and the INT8 file of each network, and one line about each into ``int8.jsonl``.

    A line has ``net``, ``version``, ``kind`` (``"float32"``, ``"int8"``, and with ``lite`` in front for MindSpore
    Lite's files), ``file``, ``bytes``, ``accuracy`` (in percent of the test images; None for MobileNetV2) and
    ``tested`` (how many images).
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, makers in zip(NETWORKS, (partial(_resnet20, data_path, pretrained), _mobilenet)):
        if name not in networks:
            continue
        done = {(row["net"], row["version"]) for row in lines(folder / "int8.jsonl")}
        missing = [version for version in VERSIONS if (name, version) not in done]
        for version, float32, batches, images in makers(folder, missing):
            rows = _both(folder, name, version, float32, batches, images)
            with (folder / "int8.jsonl").open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
            print(*rows, sep="\n", flush=True)


def _both(folder: Path, name: str, version: str, float32: Path, batches: list[np.ndarray], images) -> list[dict]:
    from src.batches import normalise

    from mindspore_gs.int8 import quantize_onnx

    int8 = quantize_onnx(float32, batches, folder / f"{name}-{version}-int8")
    count = None if images is None else len(images)
    rows = [{"kind": kind, "file": file.name, "bytes": file.stat().st_size, "tested": count,
             "accuracy": None if images is None else _accuracy(images, file)}
            for kind, file in (("float32", float32), ("int8", int8))]
    rows += lite_rows(float32, batches, images, normalise)
    return [{"net": name, "version": version} | row for row in rows]


def _resnet20(data_path: str, pretrained: str, folder: Path, versions: list[str]) -> Iterator[tuple]:
    """Dense and slim networks with trained weights."""
    import mindspore as ms
    from src.batches import normalise
    from src.data import load_data
    from src.files import load_checkpoint
    from src.models import build

    from mindspore_gs import export_onnx, prune

    if not versions:
        return
    data = load_data(data_path)
    dense = build("resnet20", len(data.classes))
    load_checkpoint(dense, pretrained)
    chosen = np.random.default_rng(0).permutation(len(data.train))[:REPAIR]
    pixels = [normalise(data.train.pixels[chosen[k:k + BATCH]]) for k in range(0, REPAIR, BATCH)]
    for version in versions:
        net = dense if version == "dense" else prune(
            dense, target={"macs": 0.5}, inputs=(1, 3, 32, 32), residual=version, round_to=8, compensate=True,
            data=[ms.Tensor(batch) for batch in pixels])
        float32 = export_onnx(net, (1, 3, 32, 32), folder / f"ResNet-20-{version}")
        yield version, float32, pixels[:IMAGES // BATCH], data.evaluation


def _accuracy(images, file: Path) -> float:
    """Percent of the images that a file classifies rightly."""
    from src.batches import normalise

    session = _session(file)
    name, right = session.get_inputs()[0].name, 0
    for k in range(0, len(images), BATCH):
        part = images.part(slice(k, k + BATCH))
        right += int((session.run(None, {name: normalise(part.pixels)})[0].argmax(1) == part.labels).sum())
    return 100 * right / len(images)


def _mobilenet(folder: Path, versions: list[str]) -> Iterator[tuple]:
    """The networks of performance.py; random images, no accuracy."""
    from benchmarks.performance_files import Case, Source
    from mindspore_gs import export_onnx

    source = Source("mobilenet_v2") if versions else None
    for version in versions:
        net = source.network(Case(version) if version == "dense" else Case(version, 8))
        float32 = export_onnx(net, (1, *source.shape), folder / f"MobileNetV2-{version}")
        images = [np.random.default_rng(k).standard_normal((8, *source.shape)).astype(np.float32) for k in range(4)]
        yield version, float32, images, None


def _session(file: Path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def time_all(folder: Path, runs: int) -> None:
    """Time all files of a network and engine in turns, batch 1, one thread, and write ``int8-times.jsonl``."""
    made, done = lines(folder / "int8.jsonl"), {row["net"] for row in lines(folder / "int8-times.jsonl")}
    for name in dict.fromkeys(row["net"] for row in made):
        rows = [row for row in made if row["net"] == name]
        if name in done or rows[0]["version"] != "dense":
            continue
        state = conditions()
        if warning(state):
            print(warning(state))
        for lite in (False, True):
            group = [row for row in rows if ("lite" in row["kind"]) == lite]
            if group:
                _write_times(folder, group, _seconds(folder, group, runs), runs, state)


def _seconds(folder: Path, rows: list[dict], runs: int) -> np.ndarray:
    """Seconds of each turn and file; those of one engine."""
    files = [folder / row["file"] for row in rows]
    entry = _session(folder / f"{rows[0]['net']}-dense.onnx").get_inputs()[0]
    x = np.random.default_rng(0).standard_normal((1, *entry.shape[1:])).astype(np.float32)
    if "lite" in rows[0]["kind"]:
        with TemporaryDirectory() as scratch:
            return seconds_in_lite(files, x, runs // 3, Path(scratch))
    return take_turns([partial(session.run, None, {entry.name: x}) for session in map(_session, files)], runs, 5)


def _write_times(folder: Path, rows: list[dict], seconds: np.ndarray, runs: int, state: dict) -> None:
    with (folder / "int8-times.jsonl").open("a") as file:
        for row, own in zip(rows, seconds.T):
            speed = ratio(seconds[:, 0], own)
            row |= {"ms": 1000 * float(np.median(own)), "speed_up": [speed.median, speed.low, speed.high],
                    "runs": runs, "load": state["load"], "commit": state["commit"], "time": state["time"]}
            file.write(json.dumps(row) + "\n")
            print(f"{row['net']}, {row['version']}, {row['kind']}: {row['ms']:.3f} ms, speed-up {speed}", flush=True)


def page(folder: Path) -> str:
    """The table."""
    timed = {(row["net"], row["version"], row["kind"]): row for row in lines(folder / "int8-times.jsonl")}
    body = []
    for row in lines(folder / "int8.jsonl"):
        found = timed.get((row["net"], row["version"], row["kind"]))
        body.append([row["net"], row["version"], row["kind"], _percent(row), f"{row['bytes']:,}",
                     f"{found['ms']:.3f}" if found else "",
                     "{:.2f} [{:.2f}, {:.2f}]".format(*found["speed_up"]) if found else ""])
    return table(["network", "version", "numbers", "accuracy", "bytes", "ms", "speed-up over dense float32"], body)


def _percent(row: dict) -> str:
    """The accuracy, and of how many images it is."""
    return "" if row["accuracy"] is None else f"{row['accuracy']:.2f}% of {row['tested']:,}"


def main() -> None:
    """Do one step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("make", "time", "table"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data_path", default="../shared/data/cifar-10-batches-bin", help="CIFAR-10's binary files")
    parser.add_argument("--pretrained", default="../shared/data/pretrained/resnet20_cifar10.ckpt")
    parser.add_argument("--runs", type=int, default=101, help="turns that count")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS, help="which to make")
    options = parser.parse_args()
    if options.step == "make":
        make(options.folder, options.data_path, options.pretrained, options.networks)
    elif options.step == "time":
        time_all(options.folder, options.runs)
    else:
        print(page(options.folder))


if __name__ == "__main__":
    main()
