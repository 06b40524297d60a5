"""Every public module, class, function and method says what it is, and what the pages of docs/ show runs."""

import ast
import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

import mindspore_gs
from mindspore_gs import ChannelPruner, PrunerFtCompressAlgo, PrunerKfCompressAlgo
from mindspore_gs.graph.blocked import Blocked
from tests.pages import BLOCK, DOCS, missing_in, printed_by, promised

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


PAGES = ["pruning.md", "criteria.md", "compensation.md", "sensitivity.md", "slb.md", "training_phases.md"]


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs_and_prints_what_it_says(page, tmp_path):
    text = (DOCS / page).read_text()
    assert len(promised(text)) >= 5
    printed = printed_by(text, tmp_path)
    assert missing_in(printed, promised(text)) is None, printed


def test_what_a_page_does_not_print_is_found():
    text = ("One:\n\n```python\nprint(1 + 1)  # 2\nprint('no promise')\n```\n\n"
            "    4 more\n\n```python\nprint(5)  # 5\n```\n")
    assert promised(text) == ["2", "4 more", "5"]
    assert missing_in(["2", "no promise", "4 more", "6"], promised(text)) == "5"
    assert missing_in(["2", "5", "4 more"], promised(text)) == "5"
    assert missing_in(["2", "between", "4 more", "5"], promised(text)) is None


def test_every_option_is_in_the_table():
    listed = dict(re.findall(r"^\| `(\w+)` \|(.*)$", (DOCS / "pruning.md").read_text(), re.M))
    options = {f.name for kind in (ChannelPruner, PrunerFtCompressAlgo, PrunerKfCompressAlgo)
               for f in fields(kind._config_type)}
    assert set(listed) == options


@pytest.mark.parametrize("option", fields(ChannelPruner._config_type), ids=lambda option: option.name)
def test_the_table_of_options_has_the_defaults(option):
    listed = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", (DOCS / "pruning.md").read_text(), re.M))
    default = getattr(ChannelPruner._config_type(), option.name)
    plain = {"rates": dict, "ignore": list}.get(option.name, lambda value: value)(default)
    shown = json.dumps(plain) if isinstance(plain, str) else repr(plain)
    assert listed[option.name].strip() == f"`{shown}`"


def test_every_reason_for_which_channels_stay_is_explained():
    rows = re.findall(r"^\| (`[A-Z].*?) \|", (DOCS / "inspect.md").read_text(), re.M)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(reason.name for reason in Blocked)


def anchor(heading):
    """What GitHub makes of a heading: lower case, without signs, hyphens for blanks."""
    return re.sub(r"[^\w\- ]", "", heading.lower().strip()).replace(" ", "-")


def leads_nowhere(page, link):
    """Whether a link's file does not exist, or has no heading of that name."""
    name, _, wanted = link.partition("#")
    target = page.parent / name if name else page
    if not target.exists():
        return True
    return bool(wanted) and wanted not in map(anchor, re.findall(r"^#+ (.+)$", target.read_text(), re.M))


def test_links_of_the_pages_lead_somewhere():
    pages = [*sorted(ROOT.parent.glob("*.md")), *sorted(DOCS.glob("*.md")),
             *sorted(ROOT.parent.glob("examples/*/README.md"))]
    links = [(page, link) for page in pages
             for link in re.findall(r"\]\(([^):\s]+)\)", BLOCK.sub("", page.read_text()))]
    assert len(links) > 200
    assert [(page.name, link) for page, link in links if leads_nowhere(page, link)] == []


def test_a_link_that_leads_nowhere_is_found():
    page = ROOT.parent / "README.md"
    assert not leads_nowhere(page, "docs/onnx.md#int8") and not leads_nowhere(page, "#scop")
    assert leads_nowhere(page, "docs/moon.md") and leads_nowhere(page, "#moon") and leads_nowhere(page, "LICENSE#moon")
