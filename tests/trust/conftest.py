"""What is started by msrun is no test file."""

collect_ignore = ["recalibrate_on_a_rank.py"]
