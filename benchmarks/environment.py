"""What must be set before MindSpore is imported. Importing this file sets it, and finds the example's networks."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # see README: 3x3 convolutions are slow without it (AVX-512 hosts)
os.environ.setdefault("GLOG_v", "3")
for folder in (ROOT, ROOT / "examples" / "resnet50_cifar10"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
