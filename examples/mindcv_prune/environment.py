"""What must be in the environment before MindSpore is imported. Importing this file sets it."""
from __future__ import annotations

import os

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # without it, convolutions crawl on CPUs with AVX-512
os.environ.setdefault("GLOG_v", "3")
