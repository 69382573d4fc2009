"""A command under a lease that notes when it works: its stack, generation, first and latest moment (monotonic ns).

    worker.py FILE SECONDS good|stubborn

A stubborn one does not end when it is told to."""

import os
import signal
import sys
import time

path, seconds, manner = sys.argv[1], float(sys.argv[2]), sys.argv[3]
if manner == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
begin = time.monotonic_ns()
fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
while True:
    now = time.monotonic_ns()
    line = f"{os.environ['STACK_NAME']} {os.environ['STACK_GENERATION']} {begin} {now:020}\n"
    os.pwrite(fd, line.encode(), 0)
    if now >= begin + seconds * 1e9:
        break
    time.sleep(0.002)
