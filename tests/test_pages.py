"""The pages for a first reader: their code runs, translations show the same code, messages exist, pictures are text."""

import re
from xml.etree import ElementTree

import pytest

from tests.pages import BLOCK, DOCS, REPOSITORY, code_of, missing_in, printed_by, promised, said_in

PREAMBLE = '''
import mindspore as ms
import numpy as np
from mindspore import nn
from mindspore.dataset import NumpySlicesDataset
from mindspore_gs import ChannelPruner


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.features = nn.SequentialCell(
            nn.Conv2d(3, 16, 3, stride=16), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.ReLU())
        self.head = nn.Dense(32, 10)

    def construct(self, x):
        return self.head(self.features(x).mean((2, 3)))


def train(net, callbacks=None):
    trained.append(net)


build_net, trained = Net, []
dataset = NumpySlicesDataset((np.ones((2, 3, 224, 224), np.float32), np.zeros(2, np.int32))).batch(2)
net = build_net()
images = ms.Tensor(np.ones((1, 3, 224, 224), np.float32))
batches = [(np.random.default_rng(k).standard_normal((8, 3, 224, 224)).astype(np.float32), np.arange(8, dtype=np.int32))
           for k in range(4)]
'''


@pytest.mark.parametrize("page", ["quickstart.md", "concepts.md", "migration_golden_stick.md",
                                  "migration_torch_pruning.md"])
def test_the_code_runs_and_prints_what_it_says(page, tmp_path):
    text = (DOCS / page).read_text()
    wanted = promised(text, code_only=page not in ("concepts.md",))
    assert wanted
    printed = printed_by(text, tmp_path)
    assert missing_in(printed, wanted) is None, printed


def test_the_code_of_the_readme_runs(tmp_path):
    """With the reader's own network, training and images in front of it."""
    text = (REPOSITORY / "README.md").read_text()
    assert len(BLOCK.findall(text)) == 6
    ending = ("\n```python\nprint(len(trained), summary(net, repaired).macs_ratio < 0.53, "
              "small.features[3].weight.shape, outputs.shape)\n```\n")
    assert printed_by(text + ending, tmp_path, PREAMBLE)[-1] == "3 True (18, 16, 3, 3) (1, 10)"


def test_the_code_of_the_command_line_page_runs(tmp_path):
    """A run is recorded from Python as the command records it."""
    text = (DOCS / "command_line.md").read_text()
    assert printed_by(text, tmp_path, PREAMBLE)[-1] == promised(text, code_only=True)[0]
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"results.json", "report.html"}


@pytest.mark.parametrize("english, chinese", [("README.md", "README_CN.md"),
                                              ("docs/quickstart.md", "docs/quickstart_cn.md")])
def test_a_translation_shows_the_same_code(english, chinese):
    ours, theirs = ((REPOSITORY / name).read_text() for name in (english, chinese))
    assert len(code_of(ours)) >= 4
    assert code_of(theirs) == code_of(ours)
    assert promised(theirs, code_only=True) == promised(ours, code_only=True)
    assert re.search("[\u4e00-\u9fff]{4}", theirs)


def test_the_chinese_readme_has_the_sections_numbers_and_links_of_the_english_one():
    ours, theirs = (BLOCK.sub("", (REPOSITORY / name).read_text()) for name in ("README.md", "README_CN.md"))
    assert [len(re.findall(pattern, ours, re.M)) for pattern in ("^## ", r"^\|")] == [
        len(re.findall(pattern, theirs, re.M)) for pattern in ("^## ", r"^\|")]
    linked = [set(re.findall(r"\]\(([^)]+)\)", text)) - {"README.md", "README_CN.md"} for text in (ours, theirs)]
    assert {link for link in linked[0] - linked[1] if not link.startswith("#")} == set()
    numbers = [re.findall(r"\d+\.\d+%?", "".join(re.findall(r"^\|.*$", text, re.M))) for text in (ours, theirs)]
    assert numbers[0] == numbers[1] and len(numbers[0]) > 20


def test_a_translation_that_lags_behind_is_found():
    assert code_of("```python\nf(1)  # one\n```\n") == code_of("```python\nf(1)   # 一\n```\n")
    assert code_of("```python\nf(1)\n```\n") != code_of("```python\nf(2)\n```\n")


ERRORS = re.findall(r"^### (.+)$", (DOCS / "faq.md").read_text(), re.M)
SAID = [text for file in sorted((REPOSITORY / "mindspore_gs").rglob("*.py")) for text in said_in(file)]


@pytest.mark.parametrize("message", ERRORS)
def test_a_message_of_the_faq_is_one_of_the_package(message):
    pattern = re.compile(".*".join(map(re.escape, re.split(" *… *", message))), re.S)
    assert any(pattern.search(text) for text in SAID)


def test_a_message_that_the_package_does_not_have_is_found():
    assert len(ERRORS) >= 20
    assert not any("the moon is blocked" in text for text in SAID)


@pytest.mark.parametrize("picture", sorted((DOCS / "img").glob("*.svg")), ids=lambda picture: picture.stem)
def test_a_picture_says_in_words_what_it_shows_and_loads_nothing(picture):
    root = ElementTree.parse(picture).getroot()
    assert len(root.get("aria-label")) > 40
    links = [value for item in root.iter() for key, value in item.attrib.items() if key.endswith("href")]
    assert all(value.startswith("#") for value in links)
    assert picture.stat().st_size < 5000
    used = [page for page in DOCS.glob("*.md") if f"img/{picture.name}" in page.read_text()]
    assert used
