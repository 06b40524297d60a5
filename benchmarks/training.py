"""One training step of the dense, the knockoff, the masked and the slim network, as ratios to the dense one.

    python benchmarks/training.py --net resnet50 --batch 32 --size 32 --rate 0.45

The networks take turns in one process. A step is forward, backward and the optimizer: Adam on the scales of the
knockoff network, Momentum for the others.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import benchmarks.environment  # noqa: E402, F401, I001

import mindspore as ms  # noqa: E402
import numpy as np  # noqa: E402
from mindspore import nn  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.command import make_table, run  # noqa: E402
from benchmarks.networks import HELP, network  # noqa: E402
from benchmarks.stages import Stages  # noqa: E402
from benchmarks.turns import ratio  # noqa: E402
from mindspore_gs.timing import take_turns  # noqa: E402
from mindspore_gs.graph import RESIDUAL_POLICIES, trace  # noqa: E402
from mindspore_gs.report import compare  # noqa: E402

LEARNING_RATE = 1e-4  # the values do not matter, but they must stay finite
MODES = {"graph": ms.GRAPH_MODE, "pynative": ms.PYNATIVE_MODE}


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("--net", default="resnet50", help=HELP)
    result.add_argument("--classes", type=int, default=10)
    result.add_argument("--size", type=int, default=32, help="height and width of the image")
    result.add_argument("--batch", type=int, default=32)
    result.add_argument("--rate", type=float, default=0.45, help="prune rate of the masked and the slim networks")
    result.add_argument("--residual", default="keep", choices=RESIDUAL_POLICIES,
                        help="policy of the knockoff and the masked network; the slim ones have both")
    result.add_argument("--round-to", type=int, default=1, help="kept channels are a multiple of this")
    result.add_argument("--mode", default="graph", choices=MODES)
    result.add_argument("--runs", type=int, default=15, help="turns that count")
    return result


def measure(options: argparse.Namespace) -> dict:
    """Make the networks, let their steps take turns, and compare.

    Returns:
        ``rows``, one for each network: ``network``, ``ms`` (median), ``ratio`` to the dense step, and for the slim
        ones ``macs_ratio``, ``speed_up``, ``ideal`` (dense MACs / slim MACs) and ``share`` (speed-up / ideal).

    Raises:
        RuntimeError: a loss is not finite at the end, so the times are those of other numbers.
    """
    nets = networks(options)
    ms.set_context(mode=MODES[options.mode])
    steps = [training_step(name, net, options) for name, net in nets.items()]
    seconds = take_turns(steps, options.runs)
    lost = [name for name, step in zip(nets, steps) if not np.isfinite(step())]
    if lost:
        raise RuntimeError(f"the loss of {', '.join(lost)} is not finite after {options.runs} steps.")
    dense, shape = seconds[:, 0], (1, 3, options.size, options.size)
    graph = trace(nets["dense"], shape)
    rows = []
    for (name, net), column in zip(nets.items(), seconds.T):
        row = {"network": name, "ms": 1000 * float(np.median(column)), "ratio": ratio(column, dense)}
        if name.startswith("slim"):
            macs = compare(graph, trace(net, shape)).macs_ratio
            speed_up = ratio(dense, column)
            row |= {"macs_ratio": macs, "speed_up": speed_up, "ideal": 1 / macs, "share": speed_up.median * macs}
        rows.append(row)
    return {"rows": rows}


def networks(options: argparse.Namespace) -> dict[str, nn.Cell]:
    """The networks by name, the dense one first."""
    kinds = {residual: Stages(options.net, residual, options.size, options.classes) for residual in RESIDUAL_POLICIES}
    own = kinds[options.residual]
    rest = {f"slim {residual}": kinds[residual].slim(options.rate, options.round_to) for residual in RESIDUAL_POLICIES}
    return {"dense": network(options.net, options.classes), "knockoff": own.knockoff(),
            "masked": own.masked(options.rate, options.round_to), **rest}


def training_step(name: str, net: nn.Cell, options: argparse.Namespace) -> Callable[[], float]:
    """One step on random images and labels; it returns the loss."""
    random = np.random.default_rng(0)
    shape = (options.batch, 3, options.size, options.size)
    x = ms.Tensor(random.standard_normal(shape).astype(np.float32))
    labels = ms.Tensor(random.integers(options.classes, size=options.batch).astype(np.int32))
    trained = net.trainable_params()
    optimizer = nn.Adam(trained, LEARNING_RATE) if name == "knockoff" else nn.Momentum(trained, LEARNING_RATE, 0.9)
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    step = nn.TrainOneStepCell(nn.WithLossCell(net, loss), optimizer)
    step.set_train()
    return lambda: float(step(x, labels).asnumpy())


def table(record: dict) -> Table:
    """One line for each network."""
    o = record["options"]
    result = make_table(f"training step against dense: {o['net']}, batch {o['batch']}, {o['size']}x{o['size']}, "
                        f"rate {o['rate']}, {o['mode']} mode, median [quartiles] of {o['runs']} turns",
                        ("network",), ("time / dense", "speed-up", "ideal", "share of ideal"))
    for row in record["rows"]:
        slim = [str(row["speed_up"]), f"{row['ideal']:.3f}", f"{row['share']:.0%}"] if "ideal" in row else []
        result.add_row(row["network"], str(row["ratio"]), *slim)
    return result


if __name__ == "__main__":
    run(parser(), measure, table)
