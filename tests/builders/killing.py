"""The start of a program that is killed while a training run saves its state."""

from __future__ import annotations

KILLING = """
import os, signal, sys
from pathlib import Path
from subbyte.training import job, loop
loop.SAVE_SECONDS = -1.0
replace, states = os.replace, []

def replace_until_killed(a, b):
    states.extend([b] if Path(b).name == "state.pt" else [])
    if len(states) == 14:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(a, b)

os.replace = replace_until_killed
"""
