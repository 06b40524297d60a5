"""docs/recipes.md runs as it stands and prints what it says."""

from tests.pages import DOCS, missing_in, printed_by, promised


def test_the_recipes_run_and_print_what_they_say(tmp_path):
    text = (DOCS / "recipes.md").read_text()
    wanted = promised(text)
    assert len(wanted) >= 12
    printed = printed_by(text, tmp_path)
    assert missing_in(printed, wanted) is None, printed
