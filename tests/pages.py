"""The code that pages show: found, run as one file, and what it promises to print."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import mindspore_gs

REPOSITORY = Path(mindspore_gs.__file__).parent.parent
DOCS = REPOSITORY / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
_COMMENT = re.compile(r"^ *print\(.*\) {2,}# (.+)$", re.M)
_INDENTED = re.compile(r"^ {4}(\S.*)$", re.M)


def promised(text, code_only=False):
    """What a page says is printed: comments behind print calls in its code, and indented lines outside of it."""
    parts = BLOCK.split(text)  # text and code take turns
    return [line for k, part in enumerate(parts) if k % 2 or not code_only
            for line in (_COMMENT if k % 2 else _INDENTED).findall(part)]


def missing_in(printed, wanted):
    """The first line of ``wanted`` that does not come, in this order, among the lines that were printed; or None."""
    lines = iter(printed)
    return next((line for line in wanted if line not in lines), None)


def printed_by(text, folder, preamble=""):
    """The lines that a page's blocks print, run one after the other in one file.

    One file, because MindSpore compiles from source files.
    """
    script = folder / "page.py"
    script.write_text(preamble + "\n".join(BLOCK.findall(text)))
    run = subprocess.run([sys.executable, str(script)], cwd=folder, capture_output=True, text=True, timeout=300,
                         env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout.splitlines()


def code_of(text):
    """The blocks of a page without comments and layout."""
    return [ast.unparse(ast.parse(block)) for block in BLOCK.findall(text)]


def said_in(file):
    """Every text in the source of ``file``, with the parts that are filled in as ``…``."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
