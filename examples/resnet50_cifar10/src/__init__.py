"""Parts of the CIFAR-10 example. Importing it prepares the process, before MindSpore is loaded."""
from src.environment import prepare_cpu

prepare_cpu()
