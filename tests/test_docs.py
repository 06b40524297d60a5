"""Every public module, class, function and method says what it is; the code in the documents runs."""

import ast
import textwrap
from itertools import groupby
from pathlib import Path

import pytest

import mindspore_gs

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


def code(page):
    """The indented blocks of a page, in order."""
    lines = (Path(__file__).parents[1] / "docs" / page).read_text().splitlines()
    blocks = [list(part) for indented, part in groupby(lines, lambda line: line.startswith("    ") or not line)
              if indented]
    return [textwrap.dedent("\n".join(block)) for block in blocks if any(block)]


@pytest.mark.parametrize("page", ["pruning.md", "criteria.md"])
def test_the_code_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks, names = code(page), {}
    assert len(blocks) >= 4
    for block in blocks:
        exec(compile(block, page, "exec"), names)
