# SPDX-License-Identifier: GPL-2.0
"""Throughput of two CPUs on one pool, and how long a map or free waits while the other CPU
compacts. Each CPU is a thread of the host. The allocators take turns."""

from guest import Guest
from icount import BACKENDS
from turns import collector, summary

OBJECTS = 40000
ROUNDS = 6
BOOTS = 3
MILLISECONDS = 200


# The arguments of "mixed".
WORK = {
    # Sizes of the workload.
    "gain": "",
    # Both CPUs use the same class.
    "gain_one_class": "size0=1000 size1=1000",
    # Each CPU uses its own class.
    "gain_own_class": "size0=1000 size1=2000",
    # A third task compacts the pool.
    "gain_compacting": "compact=1",
}


def throughput(guest, backend, put):
    """Measures one CPU, then two."""
    for what, words in WORK.items():
        guest.do(f"use {backend}")
        guest.do("create")
        guest.do(f"fill n={OBJECTS} seed=1")
        for cpus in (1, 2):
            def done(fields, name=f"{what}_{cpus}"):
                put(name + "_ops", fields["ops"] * 1e9 / fields["ns"])
                put(name + "_ns", fields["ns"] / fields["ops"])

            guest.do(f"mixed cpus={cpus} ms={MILLISECONDS} seed=5 {words}", done)
        guest.do("destroy")


def waits(guest, backend, what, put):
    """Measures waits in a pool of which 60 % were freed at random. put() also gets the
    histogram."""
    def waited(fields):
        for name in ("longest", "half", "p99", "p999", "p9999", "ns", "ops"):
            put(f"{what}_{name}", fields[name])
        put(f"{what}_histogram", {int(name[2:]): count for name, count in fields.items()
                                  if name.startswith("at")})

    guest.do(f"use {backend}")
    guest.do("create")
    guest.do(f"fill n={OBJECTS} seed=1")
    guest.do("punch keep=40 seed=4")
    guest.do(f"waits what={what} seed=6", waited)
    guest.do("destroy")


def add(histograms):
    """Returns the sum of histograms."""
    total = {}
    for histogram in histograms:
        for at, count in histogram.items():
            total[at] = total.get(at, 0) + count
    return dict(sorted(total.items()))


def run(sizes, workload, how="smp"):
    """Returns {measure: {c, rust, spread...}}. Histograms of waits are {c: {ns: count}, ...}."""
    samples = {}
    for number in range(BOOTS):
        guest = Guest(how, f"{how}-two-{number}", sizes)
        guest.do(f"sizes {workload}")
        for turn in range(ROUNDS + 1):
            for backend in BACKENDS[::1 if turn % 2 else -1]:
                put = collector({} if turn == 0 else samples, backend)
                throughput(guest, backend, put)
                for what in ("map", "free"):
                    waits(guest, backend, what, put)
        guest.run()
    for what in WORK:
        one, two = samples[what + "_1_ops"], samples[what + "_2_ops"]
        samples[what] = {backend: [b / a for a, b in zip(one[backend], two[backend])]
                         for backend in BACKENDS}
    results = {}
    for measure, of in samples.items():
        if measure.endswith("_histogram"):
            results[measure] = {backend: add(of[backend]) for backend in BACKENDS}
        else:
            results[measure] = summary(of)
    return results
