"""Threads take turns with what belongs to the whole process: MindSpore's mode and settings, environment, terminal."""

import threading

whole_process = threading.RLock()  # held while one of these is changed for a while, and while something is compiled
