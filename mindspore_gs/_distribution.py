"""Refuse to run as a mixture of two distributions that both bring a package ``mindspore_gs``."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_OTHERS = ("mindspore-gs",)


def refuse_mixture() -> None:
    """Check that no other distribution has written into this package's folder.

    Raises:
        ImportError: one has; it says what to do.
    """
    own = Path(__file__).resolve().parent
    for name in _OTHERS:
        try:
            other = distribution(name)
        except PackageNotFoundError:
            continue
        if Path(str(other.locate_file("mindspore_gs"))).resolve() == own:
            raise ImportError(f"The distributions '{name}' {other.version} and 'mindspore-gs-pruner' are both "
                              f"installed in {own}, and their files are mixed. Run 'pip uninstall {name} "
                              "mindspore-gs-pruner', then install the one that you want.")
