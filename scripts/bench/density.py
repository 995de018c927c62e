# SPDX-License-Identifier: GPL-2.0
"""Memory of a pool compared with the bytes stored in it. This counts the pool's pages, and
the slab pages and tables for its handles and zspages."""

from guest import MODULES, Guest, page_of
from icount import BACKENDS, recorder

# Empty pools that are created together, to measure the cost of one.
POOLS = 64


def measure(guest, backend, put):
    """Records the bytes stored, the pages of objects and the pages of metadata."""
    got, page = {}, page_of(guest.how)

    def stat(fields):
        got.update(fields)

    def slab(fields):
        # NAME=pages/objects/size
        got["meta"] = sum(int(value.split("/")[0]) for value in fields.values()
                          if isinstance(value, str))

    def rs(fields):
        # These have 4 KiB everywhere.
        got["meta"] += fields["handle_pages"] * 4096 / page

    def record(_):
        put("bytes", got["bytes"])
        put("pages", got["pages"])
        put("meta_pages", got["meta"])
        stored = max(got["bytes"], 1)
        put("bare", got["pages"] * page / stored)
        put("all", (got["pages"] + got["meta"]) * page / stored)

    guest.do("stat", stat)
    guest.do("slab", slab)
    if backend == "rust":
        guest.do("rs", rs)
    guest.do("nothing", record)


def pool(guest, backend, objects, put):
    guest.do(f"use {backend}")
    guest.do("shrink")
    guest.do("create")
    guest.do(f"fill n={objects} seed=1")
    for state, command in (("fresh", "write"), ("freed", "punch keep=40 seed=4"),
                           ("compacted", "compact")):
        guest.do(command)
        measure(guest, backend, lambda name, value, s=state: put(f"{s}_{name}", value))
    guest.do("verify")
    guest.do("destroy")


def run(sizes, more, pools, how="plain", modules=MODULES):
    """Returns {workload: {objects: {state_measure: {backend: number}}}}. For the workloads in
    sizes it measures all pools, for those in more only the largest."""
    results = {}
    guest = Guest(how, "density" if how == "plain" else how + "-density", {**sizes, **more}, "2G",
                  modules)
    for workload in guest.sizes:
        guest.do(f"sizes {workload}")
        for objects in pools if workload in sizes else pools[-1:]:
            for backend in BACKENDS:
                pool(guest, backend, objects,
                     recorder(results, workload, str(objects), backend))
    for backend in BACKENDS:
        put = recorder(results, "empty", backend)
        before = {}
        guest.do(f"use {backend}")
        guest.do("vmstat", before.update)
        guest.do(f"pools n={POOLS}")
        guest.do("vmstat", lambda f, before=before, put=put: put(
            "slab_bytes", (f["nr_slab_unreclaimable"] - before["nr_slab_unreclaimable"])
            * page_of(how) / POOLS))
        guest.do("pools n=0")
    guest.run(timeout=1800)
    return results
