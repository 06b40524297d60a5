"""The tables of docs/results.md, from the files of the runs.

    python benchmarks/results_table.py output/*.json                        # those of train.py --results_json
    python benchmarks/results_table.py RUNS                                 # a folder that accuracy.py got as --out
    python benchmarks/results_table.py RUNS --write docs/results.md runs    # between the page's marks of that name
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402

from benchmarks.accuracy_rows import REPAIRS, grouped, read_rows, spread  # noqa: E402

TITLES = ("net", "criterion", "residual", "rate", "dense", "masked", "fine-tuned", "epochs", "parameters", "MACs")


def example_row(result: dict) -> list[str]:
    """One line for a file of train.py: what was done and what came out."""
    config, score = result["config"], result["accuracy"]
    epochs = config["ft_epochs"]
    tuned = f"{100 * score['fine_tuned']:.2f}%" if epochs else "not run"
    rate = f"{result['prune_rate']:.3f}" if result["prune_rate"] is not None else f"MACs {config['target_macs']}"
    return [result["net"], config["criterion"], config["residual"], rate,
            f"{100 * score['dense']:.2f}%", f"{100 * score['masked']:.2f}%", tuned, str(epochs),
            f"{result['params_after']:,} ({result['params_after'] / result['params_before']:.1%})",
            f"{result['macs_after']:,} ({result['macs_ratio']:.1%})"]


def markdown(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(line) + " |" if line else "|" + "---|" * len(titles)
                     for line in (titles, (), *lines))


def tables(rows: list[dict]) -> list[str]:
    """A table of the rows without training, and one of those with training, where there are any."""
    plain = [row for row in rows if not row["steps"]]
    trained = [row for row in rows if row["steps"]]
    found = [markdown(("criterion", "widths", "target", "parameters", "MACs", *REPAIRS), list(_plain(plain)))]
    lengths = sorted({row["steps"] for row in trained})
    titles = ("criterion", "widths", "weights", "teacher", *(f"{length} steps" for length in lengths))
    return found + ([markdown(titles, list(_trained(trained, lengths)))] if trained else [])


def _plain(rows: list[dict]) -> Iterator[list[str]]:
    for (criterion, scope, target), own in grouped(rows, ("criterion", "scope", "target")):
        shares = [f"{np.mean([row[kind] for row in own]):.1%}" for kind in ("params", "macs")]
        cells = [_spread([row for row in own if row["weights"] == repair]) for repair in REPAIRS]
        cells[-1] = cells[-1] and f"**{cells[-1]}**"
        yield [criterion, scope, f"{target:.3f}", *shares, *cells]


def _trained(rows: list[dict], lengths: Sequence[int]) -> Iterator[list[str]]:
    for (criterion, scope, weights, teacher, few), own in grouped(
            rows, ("criterion", "scope", "weights", "teacher", "few")):
        yield [criterion, scope, weights + ", few images" * few, f"{teacher:g}" if teacher else "no",
               *(_spread([row for row in own if row["steps"] == length]) for length in lengths)]


def _spread(rows: list[dict]) -> str:
    return spread(rows) if rows else ""


def write(page: Path, name: str, text: str) -> None:
    """Replace what stands between the lines ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->`` of a page.

    Raises:
        ValueError: the page does not have these lines.
    """
    begin, end = (f"<!-- {name}: {word} -->\n" for word in ("begin", "end"))
    old = page.read_text()
    if old.count(begin) != 1 or old.count(end) != 1:
        raise ValueError(f"{page} has no lines {begin!r} and {end!r}, or has them twice; put them where "
                         "the table goes.")
    before, rest = old.split(begin)
    page.write_text(before + begin + text.rstrip("\n") + "\n" + end + rest.split(end)[1])


def main(words: Sequence[str]) -> None:
    """Print the tables, or write them into a page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="files of train.py, or one folder of accuracy.py")
    parser.add_argument("--write", nargs=2, metavar=("PAGE", "NAME"), help="write them between the marks of a page")
    options = parser.parse_args(words)
    if options.files[0].is_dir():
        text = "\n\n".join(tables(read_rows(options.files[0])))
    else:
        results = [json.loads(path.read_text()) for path in options.files]
        text = markdown(TITLES, [example_row(result) for result in results])
        text += "\n\n" + "\n".join(f"    {result['command']}" for result in results)
    if options.write:
        write(Path(options.write[0]), options.write[1], text)
    else:
        print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
