"""The programs of the neighbouring folder are found from wherever pytest was called; its fixtures too."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "program"))
