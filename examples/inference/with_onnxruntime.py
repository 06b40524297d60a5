"""Run an exported ONNX file on pictures, with nothing but onnxruntime (and NumPy and pillow). No MindSpore is needed.

    python with_onnxruntime.py slim.onnx cat.jpg dog.jpg
"""
import argparse
from pathlib import Path

import onnxruntime

from pictures import best, read


def main() -> None:
    """Print the best classes of each picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onnx", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--top", type=int, default=3, help="how many classes are printed")
    arguments = parser.parse_args()
    session = onnxruntime.InferenceSession(str(arguments.onnx), providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    for path in arguments.pictures:
        output = session.run(None, {entry.name: read(path, entry.shape[-1])})[0]
        print(f"{path.name}: {best(output[0], arguments.top)}")


if __name__ == "__main__":
    main()
