# SPDX-License-Identifier: GPL-2.0
"""The table of results: C, Rust, their ratio, and the goal."""

import memory as memory_part


class Table:
    """Rows of measure, C, Rust, ratio, goal, met and note. A goal is an upper limit of the
    ratio, or None."""

    def __init__(self):
        self.rows = []

    def ratio(self, measure, of, goal):
        self.row(measure, of["c"], of["rust"], of["rust"] / of["c"], goal)

    def worst(self, measure, several, goal):
        """Adds the one of several {c, rust} that has the highest ratio."""
        self.ratio(measure, max(several, key=lambda of: of["rust"] / of["c"]), goal)

    def paired(self, measure, of, goal):
        """Adds the median of the ratios of all turns, not the ratio of the medians."""
        ratio = of["spread_ratio"]
        self.row(measure, of["c"], of["rust"], ratio["median"], goal,
                 f"quartiles {ratio['low']:.2f} to {ratio['high']:.2f}, {ratio['n']} turns")

    def row(self, measure, c, rust, value, goal, note="", met=None):
        if met is None and goal is not None:
            met = value <= goal
        self.rows.append({"measure": measure, "c": c, "rust": rust, "ratio": value,
                          "goal": goal, "met": met, "note": note})

    def text(self):
        lines = [f"{'':58} {'C':>10} {'Rust':>10} {'ratio':>7} {'goal':>6}  met?"]
        for r in self.rows:
            goal, met = ("", "") if r["goal"] is None else (r["goal"], "yes" if r["met"] else "no")
            lines.append(f"{r['measure']:58} {r['c']:10.4g} {r['rust']:10.4g} "
                         f"{r['ratio']:7.3f} {goal:6}  {met:4} {r['note']}".rstrip())
        return "\n".join(lines)


def excess(of):
    """Subtracts the stored bytes from pool / stored."""
    return {backend: value - 1 for backend, value in of.items()}


def operations(table, results, workloads):
    """Instructions on the bench kernel."""
    for measure, name, goal in (
            ("free + malloc of a random object", "churn", 0.5),
            ("malloc into an empty pool", "malloc", 0.95),
            ("map + unmap, object inside a page", "map_in", 0.4),
            ("map + unmap, object across pages", "map_span", 0.3)):
        for workload in workloads:
            table.ratio(f"{measure}, {workload}", results[workload][name], goal)


def stock(table, results, workloads):
    """Instructions on Debian's cloud kernel, which GCC built."""
    for measure, name, goal in (
            ("free + malloc of a random object", "churn", None),
            ("malloc into an empty pool", "malloc", None), ("free", "free", None),
            ("map + unmap", "map_all", 0.75)):
        for workload in workloads:
            table.ratio(f"Debian's kernel, {measure}, {workload}", results[workload][name], goal)


def stock_7_3(table, results, workloads, pool):
    """Instructions and density on Debian's 7.3."""
    operations_of, compaction_of = results["operations"], results["compaction"]
    for measure, of, name, goal in (
            ("read, object in a page", operations_of, "read_in", 0.6),
            ("read, object that is copied", operations_of, "read_copied", 0.5),
            ("read, object across pages", operations_of, "read_span", None),
            ("read, object across pages in C", operations_of, "read_ref_span", None),
            ("read, any object", operations_of, "read_all", None),
            ("sg read, any object", operations_of, "sg_all", 0.8),
            ("sg read, object in a page", operations_of, "sg_in", None),
            ("sg read, object across pages", operations_of, "sg_span", None),
            ("obj_write of 2,000 bytes", operations_of, "write_all", 1.0),
            ("obj_write of 2,000 bytes, object in a page", operations_of, "write_in", None),
            ("obj_write of 2,000 bytes, across pages", operations_of, "write_span", None),
            ("free + malloc of a random object", operations_of, "churn", None),
            ("malloc into an empty pool", operations_of, "malloc", None),
            ("free of 60 % at random", compaction_of, "free", None),
            ("free of all at random", operations_of, "free", None),
            ("free of all in order of allocation", operations_of, "free_in_order", None),
            ("compaction, per page freed", compaction_of, "per_page", None),
            ("free 60 % and compact, per page given back", compaction_of, "per_page_back", None)):
        for workload in workloads:
            table.ratio(f"7.3, {measure}, {workload}", of[workload][name], goal)
    excesses(table, "7.3, ", results["density"], workloads, pool, (0.5, 0.8, 0.6))


def stock_arm64(table, size, results, workloads, pool):
    """Instructions and density on Debian's kernels for arm64."""
    operations_of, compaction_of = results["operations"], results["compaction"]
    kernel = f"arm64, {size} KiB, "
    for measure, of, name in (
            ("map + unmap, object in a page", operations_of, "map_in"),
            ("map + unmap, object across pages", operations_of, "map_span"),
            ("free + malloc of a random object", operations_of, "churn"),
            ("malloc into an empty pool", operations_of, "malloc"),
            ("free of 60 % at random", compaction_of, "free"),
            ("free of all in order of allocation", operations_of, "free_in_order"),
            ("compaction, per page freed", compaction_of, "per_page"),
            ("free 60 % and compact, per page given back", compaction_of, "per_page_back")):
        for workload in workloads:
            table.ratio(f"{kernel}{measure}, {workload}", of[workload][name], None)
    excesses(table, kernel, results["density"], workloads, pool, (0.5, 0.5, 0.5))
    table.ratio(f"{kernel}KiB of slab memory of a pool without objects",
                {b: n / 1024 for b, n in results["density"]["empty"]["slab_bytes"].items()}, 1.0)


def compaction(table, results, workloads):
    """Cost and moves of compaction."""
    for workload in workloads:
        table.ratio(f"compaction, per page freed, {workload}", results[workload]["per_page"], 0.6)
    for workload in workloads:
        of = results[workload]
        table.ratio(f"compaction, per object moved, {workload}",
                    {b: of["ns"][b] / of["moved"][b] for b in ("c", "rust")}, None)
        table.ratio(f"free 60 % and compact, per page given back, {workload}",
                    of["per_page_back"], None)
    # Not for the patterns: they have a fixed number of objects per class, and the two
    # allocators have different numbers of classes.
    for workload in workloads:
        of = results[workload]
        moved = {b: of["moved"][b] / of["pages"][b] for b in ("c", "rust")}
        table.ratio(f"objects moved per page freed, {workload}", moved, None)
        table.ratio(f"pages after compaction, {workload}", of["pages_after"], None)


def zram(table, results):
    """Instructions per page of zram, from the system call to the allocator."""
    for how, kernel in (("icount", "6.12"), ("stock-7.3", "Debian's 7.3")):
        for measure, name, goal in (
                ("a page written, empty device", "write", 1.0),
                ("a page overwritten at random", "overwrite", 1.0),
                ("a page read", "read", 1.0), ("a page discarded, of 60 %", "discard", None),
                ("memory used above what is stored", "used", None)):
            for algorithm, of in results[how].items():
                one = of[name]
                if name == "used":
                    one = excess({b: one[b] / of["bytes"][b] for b in ("c", "rust")})
                table.ratio(f"zram, {kernel}, {measure}, {algorithm}", one, goal)


def memory(table, what, results):
    """A churn, without and with compaction in the background."""
    all_of_it = "malloc, free" if what == "churn" else "writing, discarding"
    for measure, name, goal in (
            ("excess of pool bytes, on average", "excess", 0.35),
            ("excess of pool bytes, 5 s after freeing", "excess_after_pause", None),
            (f"instructions of {all_of_it} and the background", "instructions", 1.0)):
        for workload, of in results.items():
            for label, rust, limit in (("", of["rust"], None),
                                       (" in the background", memory_part.default(of), goal)):
                met = None
                if name == "excess_after_pause" and label:
                    # The goal is a share of the stored bytes, not a ratio to C.
                    limit, met = 0.05, rust[name] <= 0.05
                table.row(f"{what}{label}, {measure}, {workload}", of["c"][name], rust[name],
                          rust[name] / of["c"][name], limit, met=met)


# Measure, its name in the results, and the goal of the ratio.
NATIVE = (("free + malloc", "churn", 0.6), ("malloc, empty pool", "malloc", 0.7),
          ("free of 60 % at random", "free_60", 0.8),
          ("free of all in order of allocation", "free_in_order", None),
          ("compaction, per page freed", "compact", 1.0),
          ("free 60 % and compact, per page given back", "per_page_back", 0.9))


def native_rows(table, kernel, workloads, measures, note="", goals=True):
    for measure, name, goal in measures:
        for workload, of in workloads.items():
            table.paired(f"{kernel}ns, {measure}, {workload}{note}", of[name],
                         goal if goals else None)


def native(table, results):
    """Times in User Mode Linux 6.12, with locks, and for completeness without."""
    maps = (("map + unmap, in a page", "map_in", 0.7),
            ("map, read a word, unmap, in a page", "map_in_read", None),
            ("map + unmap, across pages", "map_span", 0.7))
    native_rows(table, "", results["smp"], NATIVE + maps)
    native_rows(table, "", results["up"], NATIVE + maps, ", no locks", goals=False)


def native_7_3(table, results):
    """Times in User Mode Linux 7.3, of one CPU and of two."""
    native_rows(table, "7.3, ", results["one"], NATIVE + (
        ("read, object in a page", "read_in", None),
        ("read, object across pages", "read_span", None),
        ("sg read, any object", "sg_all", None),
        ("obj_write of 2,000 bytes", "write_all", None)))
    of = results["two"]
    gain(table, "7.3, native, throughput of 2 CPUs over 1, mixed sizes", of["gain"], 1.8)
    for what, name in (("mixed sizes", "gain"), ("one class", "gain_one_class"),
                       ("a class of its own", "gain_own_class"),
                       ("mixed sizes, while compacting", "gain_compacting")):
        if name != "gain":
            gain(table, f"7.3, native, throughput of 2 CPUs over 1, {what}", of[name])
        for cpus, label in ((1, "1 CPU"), (2, "2 CPUs")):
            table.paired(f"7.3, native, ns per operation of {label}, {what}",
                         of[f"{name}_{cpus}_ns"], None)
    waits(table, "7.3, native, ", of, None)


def watched(table, kernel, results):
    """Shared writes, and waits in instructions of the CPU that holds the lock."""
    read = "read" if kernel else "map"
    for operation, name in (("malloc", "malloc"), (read, "map"), ("write", "write"),
                            ("free", "free")):
        of = results[name + "_shared"]
        table.row(f"{kernel}shared writes per {operation}", of["c"], of["rust"], of["rust"], 0)
        of = results[name + "_shared_any"]
        table.row(f"{kernel}the same, with neighbours in a cache line, {operation}", of["c"],
                  of["rust"], of["rust"] / of["c"], None)
    for operation in ("malloc", "free"):
        table.ratio(f"{kernel}instructions with a spinlock, per {operation}",
                    results[operation + "_under_lock"], None)
    for what, name in ((read, "map"), ("free", "free")):
        table.ratio(f"{kernel}instructions that a {what} waits for a compaction, longest",
                    results["wait_" + name], 0.1)


def gain(table, measure, of, least=None):
    """Adds the throughput of two CPUs over that of one. Higher is better. The goal is to be
    at least C's, and at least `least`."""
    ratio, rust = of["spread_ratio"], of["spread_rust"]
    table.row(measure, of["c"], of["rust"], ratio["median"],
              f">={least} and C's" if least else ">=C's",
              f"quartiles of Rust {rust['low']:.2f} to {rust['high']:.2f}, of the ratio "
              f"{ratio['low']:.2f} to {ratio['high']:.2f}, {ratio['n']} turns",
              of["rust"] >= (least or 0) and ratio["median"] >= 1)


def waits(table, kernel, results, goal):
    for what in ("map", "free"):
        table.paired(f"{kernel}ns, longest wait of a {what} while compacting",
                     results[f"{what}_longest"], goal)
        table.paired(f"{kernel}ns, 99.9 % of waits of a {what} are shorter",
                     results[f"{what}_p999"], None)


def smp(table, results):
    """Throughput and waiting times of two emulated CPUs."""
    gain(table, "throughput of 2 CPUs over 1, mixed work", results["gain"], 1.8)
    waits(table, "", results, 0.1)


def excesses(table, kernel, results, workloads, pool, goals):
    """Adds the excess of fresh, sparse and compacted pools."""
    for measure, state, goal in zip(("fresh", "60 % freed", "compacted"),
                                    ("fresh", "freed", "compacted"), goals):
        for workload in workloads:
            table.ratio(f"{kernel}excess of pool bytes, {measure}, {workload}",
                        excess(results[workload][pool][state + "_all"]), goal)


def density(table, results, workloads, pool, small):
    """The excess, and the pages of a small pool."""
    excesses(table, "", results, workloads, pool, (0.5, 0.9, 0.6))
    table.worst("a small pool, pages, worst workload", [
        {b: of[small]["fresh_pages"][b] + of[small]["fresh_meta_pages"][b]
         for b in ("c", "rust")} for of in results.values() if small in of], 1.0)
