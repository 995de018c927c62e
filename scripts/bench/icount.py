# SPDX-License-Identifier: GPL-2.0
"""Instructions per operation: QEMU counts them, so one run is enough."""

from guest import Guest

OBJECTS = 20000
PER_CLASS = 500
BACKENDS = ("c", "rust")


def per_op(fields):
    """Of the median lap."""
    return (fields["lap_ns"] - fields["lap_loop_ns"]) / fields["lap"]


def operations(guest, backend, objects, put, reference=True, lap=0):
    """One pool of the backend, from its first object to its last; put(measure,
    value) gets what each operation cost. With reference, the C pool comes before
    the Rust one. With lap, it is the cost in a median lap of so many operations."""
    def cost(name):
        return lambda fields: put(name, per_op(fields))

    guest.do(f"use {backend}")
    guest.do("create")
    guest.do(f"fill n={objects} seed=1 lap={lap}", cost("malloc"))
    guest.do("write")
    guest.do("verify")
    # The C pool says which objects span pages; the sets named ref_* are those
    # same objects in either pool, the others what each pool itself does.
    guest.do("classify" + (" ref=1" if backend == "c" else ""),
             lambda f: [put(k, f[k]) for k in ("spans", "copied", "ref_spans")])
    kinds = ("all", "in", "span", "ref_in", "ref_span")
    for kind in kinds if reference else kinds[:3]:
        guest.do(f"map n={objects} set={kind} seed=2 lap={lap}", cost("map_" + kind))
    if lap:
        guest.do(f"map n={objects} set=in seed=2 read=1 lap={lap}", cost("map_in_read"))
    guest.do("verify")
    guest.do(f"churn n={2 * objects} seed=3 lap={lap}", cost("churn"))
    guest.do("stat", lambda f: put("pages_churned", f["pages"]))
    guest.do(f"punch keep=0 seed=4 lap={lap}", cost("free"))
    guest.do("destroy")


def fragmented(guest, backend, fill, keep, put):
    """A fresh pool made sparse and compacted."""
    before = {}

    def freed(fields):
        put("free", per_op(fields))
        before["ns"] = fields["ns"] - fields["loop_ns"]

    def after(fields):
        put("pages_after", fields["pages"])
        # Of freeing and compacting together: who gives pages back at once has fewer left.
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
    """put(measure, value) for results[path...][measure][backend]."""
    of = results
    for word in path[:-1]:
        of = of.setdefault(word, {})
    return lambda measure, value: of.setdefault(measure, {}).__setitem__(path[-1], value)


def run(sizes, workloads, objects=OBJECTS, how="icount"):
    """{workload: {measure: {backend: instructions}}}"""
    results = {}
    guest = Guest(how, how, sizes)
    for workload in workloads:
        guest.do(f"sizes {workload}")
        # The first round warms up the page allocator; the second overwrites it.
        for _ in range(2):
            for backend in BACKENDS:
                operations(guest, backend, objects, recorder(results, workload, backend))
    guest.run()
    return results


def run_stock(sizes, workloads):
    """The same, on Debian's own kernel."""
    return run(sizes, workloads, how="stock")


# What is kept, and of what: see zb_cmd_punch(). All classes, so many objects each.
PATTERNS = [(f"per_class={PER_CLASS}", keep) for keep in
            ("random", "alternate", "halves", "skewed", "runs", "third", "older")]


def run_compaction(sizes, workloads, objects=OBJECTS):
    """{pattern: {measure: {backend: number}}}"""
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
