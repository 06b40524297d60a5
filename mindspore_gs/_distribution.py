"""Is this installation whole, and does what it stands on fit? Asked once, when the package is imported."""

import sys
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

_OTHERS = ("mindspore-gs",)
_FIRST_WITH_NUMPY_2 = (2, 11)  # nothing is known of it; 2.7 to 2.10 need NumPy 1


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


def refuse_remains() -> None:
    """Check that the package's own ``__init__.py`` is there.

    Where this package and Golden Stick are installed in one folder, ``pip uninstall`` of one takes files of the other
    along. What remains is a folder without ``__init__.py``, which Python imports as an empty namespace.

    Raises:
        ImportError: it is missing; it says what to do.
    """
    own = Path(__file__).resolve().parent
    if getattr(sys.modules.get("mindspore_gs"), "__file__", None) is None or not (own / "__init__.py").is_file():
        raise ImportError(f"{own} holds parts of a package 'mindspore_gs' and no __init__.py: another distribution of "
                          "this name, such as 'mindspore-gs' (Golden Stick), was uninstalled and took files along. Run "
                          "'pip install --force-reinstall --no-deps mindspore-gs-pruner'.")


def refuse_numpy_2() -> None:
    """Check that NumPy is one that MindSpore works with.

    MindSpore up to 2.10 is built for NumPy 1. With NumPy 2 it can be imported, and its operators fail with
    ``SystemError: <built-in function pyboost_zeros> returned NULL``.

    Raises:
        ImportError: NumPy 2 is installed with such a MindSpore; it says what to do.
    """
    numpy, mindspore = _installed("numpy"), _installed("mindspore")
    if numpy >= (2, 0) and (0, 0) < mindspore < _FIRST_WITH_NUMPY_2:
        raise ImportError(f"NumPy {_text(numpy)} is installed, but MindSpore {_text(mindspore)} works with "
                          "NumPy 1 only: its operators fail with a SystemError. Another package, such as onnx, "
                          "has brought it. Run 'pip install \"numpy<2\"'.")


def _installed(name: str) -> tuple[int, int]:
    """Major and minor version of a distribution; (0, 0) where it is not installed under this name."""
    try:
        parts = version(name).split(".")
    except PackageNotFoundError:
        return 0, 0
    return int(parts[0]), int("".join(letter for letter in parts[1] if letter.isdigit()) or 0)


def _text(number: tuple[int, int]) -> str:
    return ".".join(map(str, number))
