"""The memory of this process."""

import resource
import sys
from pathlib import Path


def peak_rss_bytes() -> int:
    """The most memory this process has had resident."""
    try:  # what getrusage says includes the parent's memory at the fork
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    return 1024 * int(status.split("VmHWM:")[1].split()[0])
