"""Make the tables of docs/results.md from the files that train.py writes with --results_json.

    python benchmarks/results_table.py output/*.json
"""

import json
import sys
from pathlib import Path


def row(result: dict) -> str:
    """One line of the table: what was done and what came out."""
    config, score = result["config"], result["accuracy"]
    epochs = config["ft_epochs"]
    tuned = f"{100 * score['fine_tuned']:.2f}%" if epochs else "not run"
    rate = f"{result['prune_rate']:.3f}" if result["prune_rate"] is not None else f"MACs {config['target_macs']}"
    cells = [result["net"], config["criterion"], config["residual"], rate,
             f"{100 * score['dense']:.2f}%", f"{100 * score['masked']:.2f}%", tuned, str(epochs),
             f"{result['params_after']:,} ({result['params_after'] / result['params_before']:.1%})",
             f"{result['macs_after']:,} ({result['macs_ratio']:.1%})"]
    return "| " + " | ".join(cells) + " |"


def main(paths: list[str]) -> None:
    """Print the table, then the command of each row."""
    results = [json.loads(Path(path).read_text()) for path in paths]
    titles = ["net", "criterion", "residual", "rate", "dense", "masked", "fine-tuned", "epochs", "parameters", "MACs"]
    print("| " + " | ".join(titles) + " |")
    print("|" + "---|" * len(titles))
    for result in results:
        print(row(result))
    print()
    for result in results:
        print(f"    {result['command']}")


if __name__ == "__main__":
    main(sys.argv[1:])
