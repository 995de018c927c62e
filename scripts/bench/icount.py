# SPDX-License-Identifier: GPL-2.0
"""Instructions per operation. QEMU counts them exactly, so one run is enough."""

from guest import TAKEOVER_MODULES, Guest

OBJECTS = 20000
PER_CLASS = 500
BACKENDS = ("c", "rust")


def per_op(fields):
    """Returns the cost of an operation in the median lap."""
    return (fields["lap_ns"] - fields["lap_loop_ns"]) / fields["lap"]


def maps(guest, objects, put, reference, lap):
    """Measures map + unmap. For put() see operations()."""
    kinds = ("all", "in", "span") + (("ref_in", "ref_span") if reference else ())
    for kind in kinds:
        guest.do(f"map n={objects} set={kind} seed=2 lap={lap}",
                 lambda f, kind=kind: put("map_" + kind, per_op(f)))
    if lap:
        guest.do(f"map n={objects} set=in seed=2 read=1 lap={lap}",
                 lambda f: put("map_in_read", per_op(f)))


# Bytes per obj_write.
WRITTEN = 2000


def reads(guest, objects, put, reference, lap):
    """Measures reads and writes, on kernels that have these instead of mappings."""
    kinds = ("all", "in", "span", "copied") + (("ref_in", "ref_span") if reference else ())
    for kind in kinds:
        def read(fields, kind=kind):
            put("read_" + kind, per_op(fields))
            for what in ("objects", "copied", "lent"):
                put(f"read_{kind}_{what}", fields[what])

        guest.do(f"read n={objects} set={kind} seed=2 lap={lap}", read)
    for kind in ("all", "in", "span"):
        def sg(fields, kind=kind):
            put("sg_" + kind, per_op(fields))
            put(f"sg_{kind}_two", fields["two"])

        guest.do(f"sg n={objects} set={kind} seed=2 lap={lap}", sg)
    for kind in ("all", "in", "span"):
        guest.do(f"obj_write n={objects} set={kind} len={WRITTEN} seed=2 lap={lap}",
                 lambda f, kind=kind: put("write_" + kind, per_op(f)))
    guest.do("write")


def operations(guest, backend, objects, put, reference=True, lap=0, access=maps):
    """Measures all operations on one pool, and calls put(measure, cost) for each. With
    reference, objects are also selected by how the last C pool stored them. With lap, the
    cost is that in the median lap of that many operations."""
    def cost(name):
        return lambda fields: put(name, per_op(fields))

    guest.do(f"use {backend}")
    guest.do("create")
    guest.do(f"fill n={objects} seed=1 lap={lap}", cost("malloc"))
    guest.do("write")
    guest.do("verify")
    # The sets ref_in and ref_span go by which objects span pages in the C pool, so they
    # have the same objects for both. The others go by the pool that is measured.
    guest.do("classify" + (" ref=1" if backend == "c" else ""),
             lambda f: [put(k, f[k]) for k in ("spans", "copied", "ref_spans")])
    access(guest, objects, put, reference, lap)
    guest.do("verify")
    guest.do(f"churn n={2 * objects} seed=3 lap={lap}", cost("churn"))
    guest.do("stat", lambda f: put("pages_churned", f["pages"]))
    guest.do(f"punch keep=0 seed=4 lap={lap}", cost("free"))
    guest.do("destroy")


def in_order(guest, backend, objects, put, lap=0):
    """Frees all objects in the order of their allocation."""
    guest.do(f"use {backend}")
    guest.do("create")
    guest.do(f"fill n={objects} seed=1")
    guest.do(f"punch keep=0 order=index lap={lap}", lambda f: put("free_in_order", per_op(f)))
    guest.do("destroy")


def fragmented(guest, backend, fill, keep, put):
    """Frees a part of the objects of a fresh pool, and compacts it."""
    before = {}

    def freed(fields):
        put("free", per_op(fields))
        before["ns"] = fields["ns"] - fields["loop_ns"]

    def after(fields):
        put("pages_after", fields["pages"])
        # Freeing and compacting together, as an allocator whose free() releases pages
        # leaves fewer of them to compaction.
        put("per_page_back", before["ns"] / (before["full"] - fields["pages"]))

    def compacted(fields):
        put("pages", fields["pages"])
        put("per_page", fields["ns"] / max(fields["pages"], 1))
        put("ns", fields["ns"])
        before["ns"] += fields["ns"]
        if backend == "c":
            put("moved", fields["moved"])

    guest.do(f"use {backend}")
    guest.do("create")
    guest.do(f"fill {fill}")
    guest.do("write")
    guest.do("stat", lambda f: before.update(full=f["pages"]))
    guest.do(f"punch keep={keep} seed=4", freed)
    guest.do("compact" + (" c=1" if backend == "c" else ""), compacted)
    if backend == "rust":
        guest.do("rs", lambda f: put("moved", f["objects_moved"]))
    guest.do("stat", after)
    guest.do("verify")
    guest.do("destroy")


def recorder(results, *path):
    """Returns put(measure, value), which sets results[path...][measure][backend]."""
    of = results
    for word in path[:-1]:
        of = of.setdefault(word, {})
    return lambda measure, value: of.setdefault(measure, {}).__setitem__(path[-1], value)


def run(sizes, workloads, objects=OBJECTS, how="icount"):
    """Returns {workload: {measure: {backend: instructions}}}."""
    results = {}
    guest = Guest(how, how, sizes)
    for workload in workloads:
        guest.do(f"sizes {workload}")
        # The first round warms up the page allocator. The second overwrites its results.
        for _ in range(2):
            for backend in BACKENDS:
                operations(guest, backend, objects, recorder(results, workload, backend))
    guest.run()
    return results


def run_stock(sizes, workloads):
    """Does the same on Debian's cloud kernel."""
    return run(sizes, workloads, how="stock")


def run_taken_over(sizes, workloads, how="stock-7.3", access=reads, objects=OBJECTS):
    """Measures one of Debian's kernels where the takeover has both backends. Returns
    {"operations": as run(), "compaction": as run_compaction()}."""
    results = {}
    guest = Guest(how, how, sizes, modules=TAKEOVER_MODULES)
    guest.do("idle 20")
    for workload in workloads:
        guest.do(f"sizes {workload}")
        for _ in range(2):
            for backend in BACKENDS:
                operations(guest, backend, objects,
                           recorder(results, "operations", workload, backend), access=access)
        for backend in BACKENDS:
            in_order(guest, backend, objects, recorder(results, "operations", workload, backend))
        for backend in BACKENDS:
            fragmented(guest, backend, f"n={objects} seed=1", 40,
                       recorder(results, "compaction", workload, backend))
    guest.run(timeout=1800)
    return results


# The objects and which of them are kept, see zb_cmd_punch(). Each class has PER_CLASS.
PATTERNS = [(f"per_class={PER_CLASS}", keep) for keep in
            ("random", "alternate", "halves", "skewed", "runs", "third", "older")]


def run_compaction(sizes, workloads, objects=OBJECTS):
    """Returns {pattern or workload: {measure: {backend: number}}}."""
    results = {}
    guest = Guest("icount", "compaction", sizes)
    for fill, keep in PATTERNS:
        for backend in BACKENDS:
            fragmented(guest, backend, fill, keep, recorder(results, keep, backend))
    for workload in workloads:
        guest.do(f"sizes {workload}")
        for backend in BACKENDS:
            fragmented(guest, backend, f"n={objects} seed=1", 40,
                       recorder(results, workload, backend))
    guest.run()
    return results
