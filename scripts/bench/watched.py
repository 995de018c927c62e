# SPDX-License-Identifier: GPL-2.0
"""A plugin of QEMU records all stores. This shows how often operations write to memory
that the whole pool shares, and for how many instructions compaction keeps others from
an object. Other load on the machine does not change the results."""

import os
import re
import subprocess

from guest import BUILD, HERE, MODULES, TAKEOVER_MODULES, Guest
from icount import BACKENDS

OBJECTS = 20000
# Of the pool that is compacted. Each page is freed by itself, and with this many the page
# allocator empties its per-CPU lists sometimes, which takes longest.
COMPACTED = 60000
# Of each kind, on each CPU.
OPS = 4000
# See rust/bench/marks.h.
OPERATIONS = ("malloc", "map", "free", "compact", "write")
LOCKS, RUST = 8, 16
# A cache line that fewer operations write to is shared by chance. It has the handles of
# two objects, for example.
COMMON = 0.1


def build_plugin():
    """Builds the plugin for the API version of this QEMU."""
    text = subprocess.run(["qemu-system-x86_64", "--version"], check=True,
                          capture_output=True, text=True).stdout
    major = int(re.search(r"version (\d+)\.", text).group(1))
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-fvisibility=hidden",
                    f"-DAPI={1 if major < 9 else 3}",
                    "-o", os.path.join(BUILD, "bench", "watch.so"),
                    os.path.join(HERE, "plugin", "watch.c")], check=True)


def backend_plan(guest, backend):
    guest.do(f"use {backend}")
    guest.do("create")
    guest.do(f"fill n={OBJECTS} seed=1")
    guest.do("write")
    for op in ("map", "write", "free", "malloc"):
        for cpu in (0, 1):
            guest.do(f"watched op={op} of={backend} cpu={cpu} n={OPS} seed=1")
    # Objects have other locations after a fill, so these operations are counted separately.
    guest.do(f"fill n={COMPACTED} seed=1")
    for op in ("map", "free"):
        for cpu in (0, 1):
            guest.do(f"watched op={op} of={backend} cpu={cpu} n={OPS} seed=2 locks=1")
    guest.do("punch keep=40 seed=4")
    guest.do(f"watched op=compact of={backend}")
    guest.do("destroy")


def name_of(code):
    """Returns the operation and the backend of a code."""
    return OPERATIONS[code & (LOCKS - 1)], BACKENDS[code // RUST]


def read(path):
    """Returns {operation_measure: {backend: number}}."""
    results = {}
    ops = {}

    def put(measure, backend, value):
        results.setdefault(measure, {backend: 0 for backend in BACKENDS})[backend] = value

    with open(path, encoding="ascii") as f:
        for line in f:
            kind, code, *words = line.split()
            if int(code) & LOCKS:
                continue
            operation, backend = name_of(int(code))
            fields = dict(word.split("=") for word in words if "=" in word)
            if kind == "op":
                ops[code] = int(fields["ops"])
                put(operation + "_stores", backend, int(fields["stores"]) / ops[code])
                put(operation + "_shared_any", backend, int(fields["shared"]) / ops[code])
                put(operation + "_shared", backend, 0)
            elif kind == "line" and int(fields["stores"]) >= COMMON * ops[code]:
                results[operation + "_shared"][backend] += int(fields["stores"]) / ops[code]
            elif kind == "under" and fields["by"] == "byte":
                put(operation + "_under_lock", backend,
                    int(fields["instructions"]) / ops[code])
            elif kind == "held":
                put(f"held_{fields['by']}", backend, int(fields["longest"]))
    return results


def boot(how, sizes, workload, backends):
    guest = Guest(how, how, sizes, modules=MODULES if how == "watch" else TAKEOVER_MODULES)
    guest.do(f"sizes {workload}")
    for backend in backends:
        backend_plan(guest, backend)
    guest.run(timeout=1800)
    return read(os.path.join(BUILD, "bench", "guest", how, "console.log.watch"))


def run(sizes, workload, how="watch"):
    """Returns {measure: {c, rust}}."""
    build_plugin()
    results = boot(how, sizes, workload, BACKENDS)
    # In the second run the page allocator has longer lists. The longer wait counts.
    for measure, of in boot(how, sizes, workload, BACKENDS[::-1]).items():
        if measure.startswith("held"):
            results[measure] = {b: max(of[b], results[measure][b]) for b in BACKENDS}
    # A map waits for the handle's entry, in C for the pool lock. A free waits for the same
    # and for the class lock.
    results["wait_map"] = {"c": results["held_byte"]["c"], "rust": results["held_word"]["rust"]}
    results["wait_free"] = {"c": results["held_byte"]["c"],
                            "rust": max(results["held_byte"]["rust"],
                                        results["held_word"]["rust"])}
    return results
