# SPDX-License-Identifier: GPL-2.0
"""Time per operation in User Mode Linux, which runs at the machine's own speed. Time is
noisy, so the allocators take turns. The result is the median of the ratios of all
turns."""

import statistics

from guest import Guest
from icount import BACKENDS, OBJECTS, operations

ROUNDS = 10
# Operations in a lap, which takes a fraction of a millisecond.
LAP = 1000
# The layout of memory differs between boots and may favour one allocator.
BOOTS = 3


def spread(values):
    """Returns median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return {"low": low, "median": middle, "high": high, "n": len(values)}


def summary(samples):
    """Summarises {backend: [number of each turn]}. The ratio is that of each turn."""
    ratios = [rust / c for c, rust in zip(samples["c"], samples["rust"])]
    return {**{backend: statistics.median(samples[backend]) for backend in BACKENDS},
            **{"spread_" + backend: spread(samples[backend]) for backend in BACKENDS},
            "spread_ratio": spread(ratios)}


def collector(results, backend):
    """Returns put(measure, value), which keeps all values."""
    return lambda measure, value: results.setdefault(measure, {}).setdefault(
        backend, []).append(value)


def compaction(guest, backend, put):
    """Compacts a pool of which 60 % of the objects were freed at random."""
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
            # The first one has colder caches, so they alternate.
            for backend in BACKENDS[::1 if turn % 2 else -1]:
                # The first turn warms up and does not count.
                put = collector({} if turn == 0 else of, backend)
                operations(guest, backend, OBJECTS, put, reference=False, lap=LAP)
                compaction(guest, backend, put)
    guest.run()


# Our modules with the locks of an SMP kernel, and with those of this kernel, which
# compile to nothing.
LOCKS = {"smp": "uml-smp", "up": "uml"}


def run(sizes, workloads):
    """Returns {locks: {workload: {measure: {c, rust, spread_c, spread_rust, spread_ratio}}}},
    in ns."""
    samples = {}
    for number in range(BOOTS):
        for locks, how in LOCKS.items():
            boot(how, number, sizes, workloads, samples.setdefault(locks, {}))
    wanted = ("malloc", "free", "churn", "map_all", "map_in", "map_in_read", "map_span",
              "compact")
    return {locks: {workload: {measure: summary(of[measure]) for measure in wanted}
                    for workload, of in workloads.items()}
            for locks, workloads in samples.items()}
