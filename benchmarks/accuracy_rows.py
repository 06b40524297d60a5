"""What benchmarks/accuracy.py measures: one row for each network, one file for each row."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REPAIRS = ("nothing", "recalibrated", "compensated")
STARTS = ("scratch-E", "scratch-B", "rewound", "unlearned")


@dataclass(frozen=True)
class Choice:
    """A choice of channels, which the rows of all repairs and trainings share.

    Attributes:
        criterion: name of the criterion.
        scope: how the target is met.
        target: share that is left.
        seed: of the images, of the order of training and of random scores.
    """

    criterion: str
    scope: str
    target: float
    seed: int

    @property
    def name(self) -> str:
        """For files."""
        return f"{self.criterion.replace('*', '_x_')}-{self.scope}-{self.target:g}-{self.seed}"


@dataclass(frozen=True)
class Row:
    """A slim network that is measured.

    Attributes:
        choice: which channels it has.
        weights: where its weights come from: one of :data:`REPAIRS` of the dense network's, or one of :data:`STARTS`.
        steps: training steps after that.
        teacher: share of the dense network in the loss of the training; 0: no teacher.
        few: whether only the seed's own images are trained on.
        lr: learning rate at the start of the training, which falls to 0 along a cosine.
    """

    choice: Choice
    weights: str
    steps: int = 0
    teacher: float = 0.0
    few: bool = False
    lr: float = 0.0

    def file(self, net: str) -> str:
        """Name of its file."""
        words = [net, self.choice.name, self.weights]
        if self.steps:
            words += [f"{self.steps}steps", f"lr{self.lr:g}", f"teacher{self.teacher:g}"]
        return "-".join(words + ["few"] * self.few) + ".json"

    def record(self) -> dict[str, Any]:
        """For JSON, without nesting."""
        values = asdict(self)
        return {**values.pop("choice"), **values}


def stored(place: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """The row in a file, or None where there is none yet.

    Raises:
        ValueError: it was measured with other settings.
    """
    if not place.is_file():
        return None
    row: dict[str, Any] = json.loads(place.read_text())
    other = {name: row["settings"].get(name) for name, value in settings.items() if row["settings"].get(name) != value}
    if other:
        raise ValueError(f"{place} is of a run with other settings ({other}); give another --out.")
    return row


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """All rows of a folder, in the order of their file names.

    Raises:
        ValueError: there is none.
    """
    rows = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    if not rows:
        raise ValueError(f"{folder} holds no .json file; give the folder that accuracy.py got as --out.")
    return rows


def grouped(rows: list[dict], names: tuple[str, ...]) -> Iterator[tuple[tuple[Any, ...], list[dict]]]:
    """Rows that agree in some entries, in the order in which they appear first."""
    found: dict[tuple[Any, ...], list[dict]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    yield from found.items()


def spread(rows: list[dict]) -> str:
    """Mean accuracy, and half of the range over the seeds where there are several.

    >>> spread([{"accuracy": 70.0}, {"accuracy": 74.0}]), spread([{"accuracy": 70.0}])
    ('72.00 ± 2.00', '70.00')
    """
    values = [row["accuracy"] for row in rows]
    half = (max(values) - min(values)) / 2
    return f"{sum(values) / len(values):.2f}" + (f" ± {half:.2f}" if len(values) > 1 else "")
