# SPDX-License-Identifier: GPL-2.0
"""Plots of the results, as SVG."""

import os

import matplotlib

matplotlib.use("svg")
# pylint: disable=wrong-import-position
from matplotlib import pyplot  # noqa: E402

import memory as memory_part  # noqa: E402

COLORS = {"c": "#8a8f98", "rust": "#c2542d"}
NAMES = {"c": "C", "rust": "Rust"}
OPERATIONS = {"churn": "free + malloc", "malloc": "malloc,\nempty pool",
              "map_in": "map + unmap,\nin a page", "map_span": "map + unmap,\nacross pages"}

pyplot.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
                        "axes.grid": True, "grid.alpha": 0.3, "svg.hashsalt": "zsmalloc"})


def bars(axes, labels, of, errors=None):
    """Draws two bars for each label. of is {backend: [numbers]}."""
    for offset, backend in ((-0.2, "c"), (0.2, "rust")):
        places = [i + offset for i in range(len(labels))]
        axes.bar(places, of[backend], 0.38, color=COLORS[backend], label=NAMES[backend],
                 yerr=errors and errors[backend], error_kw={"elinewidth": 0.8})
    axes.set_xticks(range(len(labels)), labels)
    axes.grid(axis="x", visible=False)
    # Leave room for the legend above the bars.
    axes.margins(y=0.25)
    axes.legend(frameon=False)


def operations(results, figure):
    workloads = list(results)
    for axes, (name, title) in zip(figure.subplots(1, len(OPERATIONS)), OPERATIONS.items()):
        bars(axes, workloads, {b: [results[w][name][b] for w in workloads] for b in COLORS})
        axes.set_title(title)
    figure.suptitle("Instructions per operation, by sizes of objects")


def native(results, figure):
    draw_native(results["smp"], figure)


def native_7_3(results, figure):
    draw_native(results["one"], figure)


def draw_native(of, figure):
    names = {"churn": "free + malloc", "malloc": "malloc,\nempty pool",
             "free_60": "free of 60 %", "compact": "compaction,\nper page freed",
             "per_page_back": "free 60 %, compact,\nper page given back"}
    for axes, (name, title) in zip(figure.subplots(1, len(names)), names.items()):
        spread = {b: [of[w][name]["spread_" + b] for w in of] for b in COLORS}
        errors = {b: [[s["median"] - s["low"] for s in spread[b]],
                      [s["high"] - s["median"] for s in spread[b]]] for b in COLORS}
        bars(axes, list(of), {b: [s["median"] for s in spread[b]] for b in COLORS}, errors)
        axes.set_title(title)
    figure.suptitle("Native time, ns: medians and quartiles")


def compaction(results, figure):
    cost, moves = figure.subplots(1, 2)
    names = list(results)
    bars(cost, names, {b: [results[n]["per_page"][b] for n in names] for b in COLORS})
    cost.set_title("Instructions per page freed")
    bars(moves, names, {b: [results[n]["moved"][b] / results[n]["pages"][b]
                            for n in names] for b in COLORS})
    moves.set_title("Objects moved per page freed")
    for axes in (cost, moves):
        axes.tick_params(axis="x", rotation=60)


def density(results, figure):
    results = {name: of for name, of in results.items() if name != "empty"}
    names = list(results)
    largest = {name: of[max(of, key=int)] for name, of in results.items()}
    states = {"fresh": "Fresh", "freed": "60 % freed at random", "compacted": "Then compacted"}
    for axes, (state, title) in zip(figure.subplots(3, 1), states.items()):
        bars(axes, names, {b: [largest[n][state + "_all"][b] - 1 for n in names]
                           for b in COLORS})
        axes.set_title(f"{title}: pool bytes above stored bytes, as a part of those")
        axes.tick_params(axis="x", rotation=60)


def growth(results, figure):
    objects = [int(n) for n in results]
    names = {"malloc": "malloc, empty pool", "churn": "free + malloc", "map": "map + unmap",
             "free": "free", "compact": "compaction, per page freed"}
    for axes, (name, title) in zip(figure.subplots(1, len(names)), names.items()):
        for backend, color in COLORS.items():
            axes.plot(objects, [results[str(n)][name][backend] for n in objects], "o-",
                      color=color, label=NAMES[backend])
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_title(title)
        axes.set_xlabel("objects in the pool")
        axes.legend(frameon=False)
    figure.suptitle("Instructions, by the number of objects")


def smp(results, figure):
    """Draws the distribution of waiting times, and the throughput of one and two CPUs."""
    *waits, gain = figure.subplots(1, 3)
    for axes, what in zip(waits, ("map", "free")):
        for backend, color in COLORS.items():
            counts = sorted((int(ns), n) for ns, n in
                            results[what + "_histogram"][backend].items())
            left = total = sum(n for _, n in counts)
            at, part = [], []
            for ns, n in counts:
                at.append(max(ns, 1))
                part.append(left / total)
                left -= n
            axes.step(at, part, where="post", color=color, label=NAMES[backend])
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("ns")
        axes.set_title(f"Part of waits of a {what}, during\na compaction, that were longer")
        axes.legend(frameon=False)
    bars(gain, ["1 CPU", "2 CPUs"], {b: [results[f"gain_{n}_ops"][b] for n in (1, 2)]
                                     for b in COLORS})
    gain.set_title("Operations a second on one pool,\nemulated CPUs")


def memory(results, figure):
    """Draws pool size and stored bytes step by step, and the instructions beside them."""
    rows = figure.subplots(len(results), 2, width_ratios=(3, 1), squeeze=False)
    for (axes, cost), (workload, of) in zip(rows, results.items()):
        lives = (("C", of["c"], COLORS["c"]), ("Rust", of["rust"], "#e0a58e"),
                 ("Rust, background", memory_part.default(of), COLORS["rust"]))
        for name, life, color in lives:
            axes.plot([s["pool"] / 2**20 for s in life["samples"]], color=color, label=name)
        axes.plot([s["stored"] / 2**20 for s in of["c"]["samples"]], color="black",
                  linestyle=":", label="stored")
        at = 0
        for phase, steps in memory_part.PHASES:
            axes.axvline(at, color="black", linewidth=0.3)
            axes.text(at + 0.3, 0, phase, fontsize=8)
            at += steps
        axes.set_ylim(bottom=0)
        axes.set_title(f"Pool, MiB, {workload}")
        axes.legend(frameon=False)
        for i, (_, life, color) in enumerate(lives):
            cost.bar(i, life["operations"] / 1e6, 0.6, color=color)
            cost.bar(i, life["background"] / 1e6, 0.6, color=color, alpha=0.5,
                     bottom=life["operations"] / 1e6, hatch="//")
        cost.set_xticks(range(3), ["C", "Rust", "background"])
        cost.set_title("Million instructions; hatched: background")


def histograms(results, figure):
    """Draws the histograms in steps of 64 bytes."""
    for axes, (data, of) in zip(figure.subplots(1, len(results)), results.items()):
        for name, histogram in of.items():
            counts = [0] * 64
            for size, count in histogram.items():
                counts[min((int(size) - 1) // 64, 63)] += count
            total = sum(counts)
            axes.step([64 * i for i in range(64)], [n / total for n in counts], where="post",
                      label=name)
        axes.set_title(data)
        axes.set_xlabel("compressed size of a page")
        axes.legend(frameon=False)


# For each part of the results: the function, width and height in inches.
PLOTS = {"icount": (operations, 13, 4), "native": (native, 14, 4),
         "native-7.3": (native_7_3, 14, 4),
         "compaction": (compaction, 12, 4.5), "density": (density, 12, 11),
         "growth": (growth, 15, 4), "memory": (memory, 13, 10),
         "memory-zram": (memory, 13, 5), "smp": (smp, 13, 4),
         "histograms": (histograms, 14, 3.5)}


def draw(results, folder):
    """Writes a file for each part, and returns their paths."""
    files = []
    for part, (plot, width, height) in PLOTS.items():
        if part not in results:
            continue
        figure = pyplot.figure(figsize=(width, height), layout="constrained")
        plot(results[part], figure)
        files.append(os.path.join(folder, part + ".svg"))
        figure.savefig(files[-1], metadata={"Date": None})
        pyplot.close(figure)
    return files
