"""Every public module, class, function and method says what it is, and what the pages of docs/ show runs."""

import ast
import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import mindspore_gs
from mindspore_gs import ChannelPruner, PrunerFtCompressAlgo, PrunerKfCompressAlgo

ROOT = Path(mindspore_gs.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


def undocumented(tree):
    """Names of public definitions without a docstring; construct and overrides of a documented base count too."""
    found = [] if ast.get_docstring(tree) else ["the module"]

    def visit(node, prefix):
        for item in node.body:
            if not isinstance(item, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) or item.name.startswith("_"):
                continue
            if not ast.get_docstring(item) and item.name not in ("extend_repr",):
                found.append(prefix + item.name)
            if isinstance(item, ast.ClassDef):
                visit(item, f"{prefix}{item.name}.")

    visit(tree, "")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_public_symbols_have_docstrings(file):
    assert undocumented(ast.parse(file.read_text())) == []


def test_the_gate_finds_what_is_missing():
    tree = ast.parse('"""Doc."""\nclass A:\n    def b(self): pass\n    def _c(self): pass\ndef d():\n    """Doc."""\n')
    assert undocumented(tree) == ["A", "A.b"]


@pytest.mark.parametrize("name", [name for name in mindspore_gs.__all__ if callable(getattr(mindspore_gs, name))])
def test_the_public_interface_documents_its_arguments(name):
    """Every argument's name appears in the docstring (of the class for ``__init__``)."""
    import inspect
    value = getattr(mindspore_gs, name)
    text = inspect.getdoc(value) or ""
    assert len(text.splitlines()) >= 3
    own = [p for p in inspect.signature(value).parameters if p not in ("self", "args", "kwargs")]
    if "Arguments, result and errors are those of" not in text:
        assert [p for p in own if p not in text] == []


PAGES = ["pruning.md", "criteria.md"]
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
_PRINTED = re.compile(r"^print\(.*\) {2,}# (.+)$", re.M)


def promised(code):
    """What the comments behind the print calls of a page say that they print."""
    return _PRINTED.findall(code)


def missing_in(printed, wanted):
    """The first line of ``wanted`` that does not come, in this order, among the lines that were printed; or None."""
    lines = iter(printed)
    return next((line for line in wanted if line not in lines), None)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs_and_prints_what_it_says(page, tmp_path):
    """All blocks of a page, one after the other in one file, because MindSpore compiles from source files."""
    code = "\n".join(_BLOCK.findall((ROOT.parent / "docs" / page).read_text()))
    script = tmp_path / "page.py"
    script.write_text(code)
    run = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120,
                         env={**os.environ, "PYTHONPATH": str(ROOT.parent)})
    assert run.returncode == 0, run.stderr[-3000:]
    assert len(promised(code)) >= 5
    assert missing_in(run.stdout.splitlines(), promised(code)) is None, run.stdout[-3000:]


def test_what_a_page_does_not_print_is_found():
    code = "print(1 + 1)  # 2\nprint(2 + 2)                # 5\nprint('no promise')\n"
    assert promised(code) == ["2", "5"]
    assert missing_in(["2", "4", "no promise"], promised(code)) == "5"
    assert missing_in(["5", "2"], promised(code)) == "5"
    assert missing_in(["2", "between", "5"], promised(code)) is None


@pytest.mark.parametrize("algorithm", [ChannelPruner, PrunerFtCompressAlgo, PrunerKfCompressAlgo],
                         ids=lambda kind: kind.__name__)
def test_every_option_is_in_the_table_with_its_default(algorithm):
    rows = re.findall(r"^\| `(\w+)` \|(.*)$", (ROOT.parent / "docs/pruning.md").read_text(), re.M)
    listed = {name: row for name, row in rows}
    defaults = {f.name: getattr(algorithm._config_type(), f.name) for f in fields(algorithm._config_type)}
    assert set(defaults) - set(listed) == set()
    if algorithm is ChannelPruner:
        shown = {name: {} if name == "rates" else [] if value == () else value for name, value in defaults.items()}
        wrong = [name for name, value in shown.items() if f"| `{json.dumps(value) if isinstance(value, str) else value}` |"
                 not in listed[name]]
        assert wrong == []


def test_links_of_the_pages_lead_somewhere():
    pages = [ROOT.parent / "README.md", *sorted((ROOT.parent / "docs").glob("*.md"))]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())]
    assert len(links) > 20
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []
