# SPDX-License-Identifier: GPL-2.0
"""Time per operation in User Mode Linux, which runs at the machine's own speed. Time is
noisy, so the allocators take turns. The result is the median of the ratios of all
turns."""

import smp
from guest import Guest
from icount import BACKENDS, OBJECTS, in_order, maps, operations, per_op, reads
from turns import collector, summary

ROUNDS = 10
# Operations in a lap, which takes a fraction of a millisecond.
LAP = 1000
# The layout of memory differs between boots and may favour one allocator.
BOOTS = 3


def freeing(guest, backend, put):
    """Frees 60 % of the objects of a pool at random, and compacts it."""
    of = {}

    def freed(fields):
        put("free_60", per_op(fields))
        # All laps count as the median one, because other tasks disturb some of them.
        of["ns"] = per_op(fields) * fields["ops"]

    def compacted(fields):
        put("compact", fields["ns"] / max(fields["pages"], 1))
        of["ns"] += fields["ns"]

    guest.do(f"use {backend}")
    guest.do("create")
    guest.do(f"fill n={OBJECTS} seed=1")
    guest.do("write")
    guest.do("stat", lambda f: of.update(full=f["pages"]))
    guest.do(f"punch keep=40 seed=4 lap={LAP}", freed)
    guest.do("compact", compacted)
    guest.do("stat", lambda f: put("per_page_back", of["ns"] / (of["full"] - f["pages"])))
    guest.do("verify")
    guest.do("destroy")


def boot(how, number, sizes, workloads, samples, access):
    guest = Guest(how, f"{how}-{number}", sizes)
    for workload in workloads:
        of = samples.setdefault(workload, {})
        guest.do(f"sizes {workload}")
        for turn in range(ROUNDS):
            # The first one has colder caches, so they alternate.
            for backend in BACKENDS[::1 if turn % 2 else -1]:
                # The first turn warms up and does not count.
                put = collector({} if turn == 0 else of, backend)
                operations(guest, backend, OBJECTS, put, reference=False, lap=LAP, access=access)
                freeing(guest, backend, put)
                in_order(guest, backend, OBJECTS, put, lap=LAP)
    guest.run()


WANTED = ("malloc", "free", "churn", "free_60", "free_in_order", "compact", "per_page_back")
MAPS = ("map_all", "map_in", "map_in_read", "map_span")
READS = ("read_all", "read_in", "read_span", "sg_all", "write_all")


def summaries(samples, wanted):
    return {workload: {measure: summary(of[measure]) for measure in wanted}
            for workload, of in samples.items()}


# The folder of our modules: with the locks of an SMP kernel, and with the locks of this
# kernel, which compile to nothing.
LOCKS = {"smp": "uml-smp", "up": "uml"}


def run(sizes, workloads):
    """Returns {locks: {workload: {measure: {c, rust, spread_c, spread_rust, spread_ratio}}}},
    in ns."""
    samples = {}
    for number in range(BOOTS):
        for locks, how in LOCKS.items():
            boot(how, number, sizes, workloads, samples.setdefault(locks, {}), maps)
    return {locks: summaries(of, WANTED + MAPS) for locks, of in samples.items()}


def run_7_3(sizes, workloads):
    """Measures Linux 7.3, where User Mode Linux has SMP. Returns {"one": {workload: {measure:
    as run()}}, "two": as smp.run()}."""
    samples = {}
    for number in range(BOOTS):
        boot("uml-7.3", number, sizes, workloads, samples, reads)
    return {"one": summaries(samples, WANTED + READS),
            "two": smp.run(sizes, workloads[0], "uml-7.3")}
