"""One run in a process of its own, as part D starts it.

``python -m tests.benchmarks.fresh TASK``: the task is JSON with ``trader`` (a name in
`traders`), ``params``, ``way`` and the parquet files to run (``files``) and to warm up
with (``warm``). Prints JSON: processor seconds, trades, peak memory in MiB after the
run and before it.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any

from . import traders
from .runs import OURS, STOCK, Job, run

KIB = 1024


def peak() -> float:
    """Most memory that this process ever held, MiB.

    Linux lets a process begin with the peak of the one that started it in
    ``ru_maxrss``; ``VmHWM`` is this program's own.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / KIB
    unit = KIB if sys.platform != "darwin" else KIB * KIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measured(task: dict[str, Any]) -> dict[str, float]:
    """Run a task."""
    way = {"stock": STOCK, **OURS}[task["way"]]
    trader = getattr(traders, task["trader"])

    def job(files: list[str]) -> Job:
        paths = [Path(file) for file in files]
        return Job(trader, paths, task["params"], carries=True)

    run(job(task["warm"]), way)
    before = peak()
    found = run(job(task["files"]), way)
    seen = {"seconds": found.seconds, "trades": found.trades}
    return {**seen, "peak": peak(), "before": before}


if __name__ == "__main__":
    print(json.dumps(measured(json.loads(sys.argv[1]))))
