# SPDX-License-Identifier: GPL-2.0
"""Time per operation at the machine's own speed, in User Mode Linux. Time is
noisy: both allocators take turns, and what counts is the median over many turns
of the one divided by the other in the same turn."""

import statistics

from guest import Guest
from icount import BACKENDS, OBJECTS, operations

ROUNDS = 10
# Operations: a fraction of a millisecond.
LAP = 1000
# A boot lays out memory anew, which may favour one of them: several.
BOOTS = 3


def spread(values):
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return {"low": low, "median": middle, "high": high, "n": len(values)}


def summary(samples):
    """Of {backend: [number of each turn]}: both, and their ratio turn by turn."""
    ratios = [rust / c for c, rust in zip(samples["c"], samples["rust"])]
    return {**{backend: statistics.median(samples[backend]) for backend in BACKENDS},
            **{"spread_" + backend: spread(samples[backend]) for backend in BACKENDS},
            "spread_ratio": spread(ratios)}


def collector(results, backend):
    """put(measure, value) that keeps all values."""
    return lambda measure, value: results.setdefault(measure, {}).setdefault(
        backend, []).append(value)


def compaction(guest, backend, put):
    """A pool of which 60 % of objects were freed at random."""
    guest.do(f"use {backend}")
    guest.do("create")
    guest.do(f"fill n={OBJECTS} seed=1")
    guest.do("write")
    guest.do("punch keep=40 seed=4")
    guest.do("compact", lambda f: put("compact", f["ns"] / max(f["pages"], 1)))
    guest.do("verify")
    guest.do("destroy")


def boot(how, number, sizes, workloads, samples):
    guest = Guest(how, f"{how}-{number}", sizes)
    for workload in workloads:
        of = samples.setdefault(workload, {})
        guest.do(f"sizes {workload}")
        for turn in range(ROUNDS):
            # Who goes first has the colder caches.
            for backend in BACKENDS[::1 if turn % 2 else -1]:
                # The first turn warms up.
                put = collector({} if turn == 0 else of, backend)
                operations(guest, backend, OBJECTS, put, reference=False, lap=LAP)
                compaction(guest, backend, put)
    guest.run()


# The modules as they are for that kernel, in which a lock costs nothing, and with
# the locks of one for several CPUs.
LOCKS = {"smp": "uml-smp", "up": "uml"}


def run(sizes, workloads):
    """{locks: {workload: {measure: {c, rust, spread_c, spread_rust, spread_ratio}}}}, in ns"""
    samples = {}
    for number in range(BOOTS):
        for locks, how in LOCKS.items():
            boot(how, number, sizes, workloads, samples.setdefault(locks, {}))
    wanted = ("malloc", "free", "churn", "map_all", "map_in", "map_in_read", "map_span",
              "compact")
    return {locks: {workload: {measure: summary(of[measure]) for measure in wanted}
                    for workload, of in workloads.items()}
            for locks, workloads in samples.items()}
