"""An inspection as tables on the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from mindspore_gs.runs.inspection import GroupRow, Half, Inspection

_MINIMUM_WIDTH = 100  # where the output is no terminal


def print_tables(inspection: Inspection) -> None:
    """Print the free groups, the blocked ones, and the totals."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, _MINIMUM_WIDTH)
    if inspection.free:
        console.print(_free(inspection))
    if inspection.blocked:
        console.print(_blocked(inspection))
    for line in totals(inspection):
        console.print(line, markup=False, soft_wrap=True)


def totals(inspection: Inspection) -> list[str]:
    """The lines below the tables."""
    shapes = " and ".join(str(shape) for shape in inspection.inputs)
    return [
        f"{inspection.network}, input {shapes}: {inspection.params:,} parameters, {inspection.macs:,} MACs",
        f"prunable: {inspection.prunable_params:,} parameters ({inspection.prunable_share:.1%}) sit in free groups",
        f"groups (residual={inspection.residual}): {len(inspection.free)} free, {len(inspection.blocked)} blocked"]


def _free(inspection: Inspection) -> Table:
    table = Table(title="free groups, and what half of each alone would save")
    table.add_column("layers that lose the same channels", overflow="fold")
    for name in ("channels", "parameters", "MACs"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in inspection.free:
        table.add_row(shorten(row.members), str(row.channels), *_savings(row.half))
    return table


def _savings(half: Half | None) -> tuple[str, str]:
    if half is None:
        return "", ""
    return f"{half.params:,} {half.params_share:6.2%}", f"{half.macs:,} {half.macs_share:6.2%}"


def _blocked(inspection: Inspection) -> Table:
    table = Table(title="blocked groups")
    table.add_column("layers", overflow="fold")
    table.add_column("channels", justify="right", no_wrap=True)
    for name in ("reason", "operator", "place"):
        table.add_column(name, overflow="fold")
    sentences: dict[str, str] = {}
    for row in inspection.blocked:
        table.add_row(shorten(row.members), str(row.channels), *_why(row))
        if row.blocked is not None:
            sentences[row.blocked.reason] = row.blocked.sentence
    table.caption = "\n".join(f"{reason}: {sentence}" for reason, sentence in sentences.items())
    table.caption_justify = "left"
    return table


def _why(row: GroupRow) -> tuple[str, str, str]:
    by = row.blocked
    return ("", "", "") if by is None else (by.reason, by.operator, short_place(by.place))


def shorten(members: Sequence[str], shown: int = 3) -> str:
    """The first few members, and how many more there are.

    >>> shorten(["conv1", "layer1.0.conv2", "layer1.1.conv2", "layer1.2.conv2"], 2)
    'conv1, layer1.0.conv2, 2 more'
    """
    rest = len(members) - shown
    listed = [name or "the network itself" for name in members[:shown + (rest == 1)]]
    return ", ".join(listed + ([f"{rest} more"] if rest > 1 else []))


def short_place(place: str) -> str:
    """A place in MindIR's words as a path of cells.

    >>> short_place("Default/layer1-SequentialCell/0-Block")
    'layer1.0'
    """
    parts = place.split("/")
    parts = parts[1:] if parts[0] == "Default" else parts
    return ".".join(part.rsplit("-", 1)[0] for part in parts) or "the network itself"
