"""``python -m mindspore_gs`` is the same as ``mindspore-gs``."""

from mindspore_gs.cli import main

if __name__ == "__main__":
    main()
