"""How a program of one package answers the benchmarks.

``python -m peers.NAME FILE ROUNDS``, with the benchmarks' folder on the path: runs
once to warm up, prints ``{"ready": true}``, and then for each line on stdin runs once
and prints JSON: processor seconds from the parquet file to the result, trades begun,
and the account's value at the end.
"""

import gc
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

FAST, SLOW, STRENGTH = 60, 240, 14  # periods
HIGH, LOW = 90, 10  # beyond these values of the strength index no entry
CASH = 1_000_000
FEE = 0.0005  # of notional
LEVERAGE = 5
SIZE = 1  # units of each position

Once = Callable[[Path], tuple[int, float]]  # trades and value


def serve(once: Once) -> None:
    """Answer the requests on stdin."""
    file, rounds = Path(sys.argv[1]), int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a package prints itself is no answer
    once(file)
    _say(answers, {"ready": True})
    for _ in range(rounds):
        if not sys.stdin.readline():
            return
        gc.collect()
        began = process_time()
        trades, value = once(file)
        seconds = process_time() - began
        _say(answers, {"seconds": seconds, "trades": int(trades), "value": value})


def _say(answers: Any, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
