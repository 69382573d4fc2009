"""This folder's modules, and the programs of its neighbour, are found from wherever pytest was called."""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "program")]
