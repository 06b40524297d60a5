"""Detectors of mindyolo 0.5.0, built from its layers. The wheel has no configurations, so the tables are made here.

A table has one row for each layer: which layers it reads, how often it is repeated, its class, its arguments. Widths
and depths follow the papers; the large ones (v3, v4) are run at a quarter of their width, which changes nothing about
what depends on what.
"""

from collections.abc import Sequence

from mindspore import nn

CLASSES = 5
ANCHORS = [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119], [116, 90, 156, 198, 373, 326]]


class Table:
    """Layers one after the other. Each method adds rows and returns the place of the last one."""

    def __init__(self, activation: str = ""):
        self.rows: list[list] = []
        self.activation = [f"act={activation}"] if activation else []

    def add(self, kind: str, *arguments: object, source: int | Sequence[int] = -1, number: int = 1) -> int:
        """One layer, which reads the layer before it unless ``source`` names others."""
        self.rows.append([list(source) if isinstance(source, Sequence) else source, number, kind, list(arguments)])
        return len(self.rows) - 1

    def conv(self, width: int, kernel: int = 1, stride: int = 1, source: int = -1) -> int:
        """Convolution, BatchNorm, activation."""
        return self.add("ConvNormAct", width, kernel, stride, *self.activation, source=source)

    def block(self, kind: str, *arguments: object, number: int = 1) -> int:
        """A block with the table's activation."""
        return self.add(kind, *arguments, *self.activation, number=number)

    def join(self, *sources: int) -> int:
        """Concatenation of channels."""
        return self.add("Concat", 1, source=sources)

    def up(self) -> int:
        """Twice the height and width."""
        return self.add("Upsample", None, 2, "nearest")


def yolov3() -> Table:
    """Darknet-53 and a feature pyramid. Source: Redmon and Farhadi, 2018."""
    table, stages = Table(), {}
    table.conv(32, 3)
    for width, number in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        table.conv(width, 3, 2)
        stages[width] = table.add("Bottleneck", width, number=number)
    table.add("Bottleneck", 1024, False)
    table.conv(512)
    table.conv(1024, 3)
    narrow, large = table.conv(512), table.conv(1024, 3)
    table.conv(256, source=narrow)
    table.join(table.up(), stages[512])
    table.add("Bottleneck", 512, False)
    table.add("Bottleneck", 512, False)
    narrow, medium = table.conv(256), table.conv(512, 3)
    table.conv(128, source=narrow)
    table.join(table.up(), stages[256])
    table.add("Bottleneck", 256, False)
    small = table.add("Bottleneck", 256, False, number=2)
    table.add("YOLOv3Head", "nc", "anchors", "stride", source=[small, medium, large])
    return table


def yolov4() -> Table:
    """CSPDarknet-53, spatial pyramid pooling, path aggregation. Source: Bochkovskiy et al., 2020."""
    table, stages = Table("nn.Mish()"), {}
    table.conv(32, 3)
    for width, number in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        half = max(width // 2, 64)
        down = table.conv(width, 3, 2)
        table.conv(half)
        table.block("Bottleneck" if width == 64 else "Residualblock", half, number=number)
        left, right = table.conv(half), table.conv(half, source=down)
        table.join(left, right)
        stages[width] = table.conv(width)
    table.activation = ["act=nn.LeakyReLU(0.1)"]
    table.block("Bottleneck", 1024, False)
    narrow = table.conv(512)
    pools = [table.add("nn.MaxPool2d", size, 1, "same", source=narrow) for size in (5, 9, 13)]
    table.join(*reversed(pools), narrow)
    table.conv(512)
    table.conv(1024, 3)
    ways = [table.conv(512)]
    for width in (256, 128):
        table.conv(width)
        up = table.up()
        table.join(up, table.conv(width, source=stages[2 * width]))
        table.block("Bottleneck", 2 * width, False, number=2)
        ways.append(table.conv(width))
    outputs = [table.conv(256, 3)]
    for width, way, number, last in ((256, ways[1], 2, ways[2]), (512, ways[0], 3, -1)):
        down = table.conv(width, 3, 2, source=last if last >= 0 else narrow)
        table.join(down, way)
        table.block("Bottleneck", 2 * width, False, number=number)
        if width == 256:
            narrow = table.conv(256)
            outputs.append(table.conv(512, 3))
        else:
            outputs.append(len(table.rows) - 1)
    table.add("YOLOv4Head", "nc", "anchors", source=outputs[::-1])
    return table


def yolov7_tiny() -> Table:
    """Blocks of four concatenated stages (ELAN). Source: Wang et al., CVPR 2023."""
    table = Table("nn.LeakyReLU(0.1)")

    def elan(width: int, out: int) -> int:
        source = len(table.rows) - 1
        first, second = table.conv(width, source=source), table.conv(width, source=source)
        third, fourth = table.conv(width, 3), table.conv(width, 3)
        table.join(fourth, third, second, first)
        return table.conv(out)

    table.conv(32, 3, 2)
    table.conv(64, 3, 2)
    stages = {64: elan(32, 64)}
    for width in (64, 128, 256):
        table.add("MP")
        stages[2 * width] = elan(width, 2 * width)
    left, right = table.conv(256, source=stages[512]), table.conv(256, source=stages[512])
    pools = [table.add("SP", size, source=right) for size in (5, 9, 13)]
    table.join(*reversed(pools), right)
    table.join(table.conv(256), left)
    ways = [table.conv(256)]
    for width in (128, 64):
        table.conv(width)
        up = table.up()
        table.join(table.conv(width, source=stages[2 * width]), up)
        ways.append(elan(width // 2, width))
    outputs = [ways[2]]
    for width, way in ((128, ways[1]), (256, ways[0])):
        table.join(table.conv(width, 3, 2), way)
        outputs.append(elan(width // 2, width))
    heads = [table.conv(width, 3, source=output) for width, output in zip((128, 256, 512), outputs)]
    table.add("YOLOv7Head", "nc", "anchors", "stride", source=heads)
    return table


def yolov9_tiny() -> Table:
    """GELAN with an auxiliary branch of its own. Source: Wang et al., 2024."""
    table, stages = Table(), {}
    table.conv(16, 3, 2)
    table.conv(32, 3, 2)
    table.add("ELAN1", 32, 32, 16)
    for width in (64, 96, 128):
        table.add("AConv", width)
        stages[width] = _gelan(table, width)

    def way_up(top: int) -> list[int]:
        found = [top]
        for width in (96, 64):
            table.join(table.up(), stages[width])
            found.append(_gelan(table, width))
        return found

    large, medium, small = way_up(table.add("SPPELAN", 128, 64))
    outputs = [small]
    for width, narrow, way in ((96, 48, medium), (128, 64, large)):
        table.join(table.add("AConv", narrow), way)
        outputs.append(_gelan(table, width))
    auxiliary = way_up(table.add("SPPELAN", 128, 64, source=stages[128]))
    auxiliary = [auxiliary[2], auxiliary[1], auxiliary[0]]
    table.add("YOLOv9Head", "nc", "reg_max", "stride", source=[*auxiliary, *outputs])
    return table


def _gelan(table: Table, width: int) -> int:
    return table.add("RepNCSPELAN4", width, width, width // 2, 3)


def csp(block: str, head: Sequence[object], *, stem: Sequence[object], down: str = "ConvNormAct",
        deep: str | None = None, depths: Sequence[int] = (3, 6, 6, 3), lateral: bool = True,
        attention: bool = False, pool_first: bool = False, last: Sequence[object] = ()) -> Table:
    """The backbone of four stages with a pyramid up and down that YOLOv5, v8, v10 and YOLOX share.

    Args:
        block: class of the blocks.
        head: class of the head and its arguments.
        stem: first layer and its arguments.
        down: class of the layers that halve height and width, between the deepest stages ``deep``.
        depths: blocks in the four stages, at full depth.
        lateral: whether a convolution narrows what goes up, and is what comes back down.
        attention: whether self-attention follows the pooling.
        pool_first: whether the pooling is in front of the last stage.
        last: class of the last block and its arguments, where it is another one.
    """
    table, stages, deep = Table(), [], deep or down
    table.add(*stem)
    for width, number in zip((128, 256, 512, 1024), depths):
        table.add(deep if width > 256 else down, width, 3, 2)
        if width == 1024 and pool_first:
            table.add("SPPF", width)
        stages.append(table.add(block, width, not (width == 1024 and pool_first), number=number))
    top = stages[-1] if pool_first else table.add("SPPF", 1024, 5)
    top = table.add("PSA", 1024) if attention else top
    ways = []
    for width, stage in ((512, stages[2]), (256, stages[1])):
        ways.append(table.conv(width) if lateral else top)
        table.join(table.up(), stage)
        top = table.add(block, width, False, number=3)
    outputs = [top]
    for width, way in ((256, ways[1]), (512, ways[0])):
        table.join(table.add(deep if width > 256 else down, width, 3, 2), way)
        kind, *arguments = last if last and width == 512 else (block, False)
        outputs.append(table.add(kind, 2 * width, *arguments, number=3))
    table.add(*head, source=outputs)
    return table


def yolov5() -> Table:
    """YOLOv5, version 6. Source: Jocher et al., 2022."""
    return csp("C3", ("YOLOv5Head", "nc", "anchors", "stride"), stem=("ConvNormAct", 64, 6, 2, 2), depths=(3, 6, 9, 3))


def yolov8() -> Table:
    """Halves of a split that go on by themselves, and a head without anchors. Source: Jocher et al., 2023."""
    return csp("C2f", ("YOLOv8Head", "nc", "reg_max", "stride"), stem=("ConvNormAct", 64, 3, 2), lateral=False)


def yolov10() -> Table:
    """Two heads, one of them without suppression of doubles; self-attention. Source: Wang et al., NeurIPS 2024."""
    return csp("C2f", ("YOLOv10Head", "nc", "reg_max", "stride"), stem=("ConvNormAct", 64, 3, 2), deep="SCDown",
               lateral=False, attention=True, last=("C2fCIB", True, True))


def yolox() -> Table:
    """Depthwise blocks and a head that decouples classes and boxes. Source: Ge et al., 2021."""
    return csp("DWC3", ("YOLOXHead", "nc", "stride", "depth_wise=True"), stem=("Focus", 64, 3), down="DWConvNormAct",
               depths=(3, 9, 9, 3), pool_first=True)


# name: (name in mindyolo, table, multiple of the width, of the depth, height and width of the image)
YOLOS = {
    "yolov3": ("yolov3", yolov3, 0.25, 1.0, 64), "yolov4": ("yolov4", yolov4, 0.25, 1.0, 64),
    "yolov5n": ("yolov5", yolov5, 0.25, 0.33, 64), "yolov7-tiny": ("yolov7", yolov7_tiny, 1.0, 1.0, 64),
    "yolov8n": ("yolov8", yolov8, 0.25, 0.33, 64), "yolov9t": ("yolov9", yolov9_tiny, 1.0, 1.0, 64),
    "yolov10n": ("yolov10", yolov10, 0.25, 0.33, 160), "yolox-nano": ("yolox", yolox, 0.25, 0.33, 64),
}


def build(name: str) -> nn.Cell:
    """A detector of ``YOLOS`` with ``CLASSES`` classes."""
    from mindyolo.models.model_factory import create_model
    from mindyolo.utils.config import Config
    model, table, width, depth, _ = YOLOS[name]
    rows = table().rows
    stride = [32, 16, 8] if model == "yolov4" else [8, 16, 32]
    flat = [[w, h] for level in reversed(ANCHORS) for w, h in zip(level[::2], level[1::2])]
    config = Config({"backbone": rows[:-1], "head": rows[-1:], "stride": stride, "width_multiple": width,
                     "anchors": flat if model == "yolov4" else ANCHORS, "depth_multiple": depth, "reg_max": 16,
                     "nc": CLASSES})
    return create_model(model, config, num_classes=CLASSES, sync_bn=False)
