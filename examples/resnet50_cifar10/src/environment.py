"""What must be in the environment before MindSpore is imported."""
from __future__ import annotations

import os
import sys


def prepare_cpu() -> None:
    """Set `ONEDNN_MAX_CPU_ISA` and `GLOG_v` where the user has not.

    On hosts with AVX-512 the oneDNN inside MindSpore runs 3x3 convolutions on its reference kernel, about
    a hundred times slower; `AVX2` avoids it. Must run before MindSpore's first convolution.
    """
    os.environ.setdefault("GLOG_v", "3")
    if "ONEDNN_MAX_CPU_ISA" not in os.environ:
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"
        print("ONEDNN_MAX_CPU_ISA is not set: using AVX2 (set it yourself to override)", file=sys.stderr)
