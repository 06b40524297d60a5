"""What is started by msrun or by other scripts is no test file."""

collect_ignore = ["recalibrate_on_a_rank.py", "killed.py", "kills.py", "readers.py", "fuzz.py"]
