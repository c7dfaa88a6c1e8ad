"""Counts the hits of a breakpoint on a function in gdb, as people do who let a
script decide at each hit: the program goes on without stopping for the user."""

import os
import sys

import gdb


class Counting(gdb.Breakpoint):
    hits = 0

    def stop(self):
        Counting.hits += 1
        return False


# The address, and not what is behind the prologue.
Counting("*" + os.environ["PAI_BENCH_FUNCTION"])
gdb.execute("run")
sys.stderr.write("hits %d\n" % Counting.hits)
