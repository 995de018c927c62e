# SPDX-License-Identifier: GPL-2.0
"""The sizes of objects: an artificial mix, and histograms of real pages."""

import histograms

PAGE = 4096
MIXED = "mixed"


def mixed():
    """Returns all compressed sizes equally often, with 7 % incompressible pages."""
    compressed = range(32, 3600)
    return {**{size: 93 for size in compressed}, PAGE: 7 * len(compressed)}


def together(several):
    """Returns the sum of several histograms."""
    counts = {}
    for histogram in several:
        for size, count in histogram.items():
            counts[size] = counts.get(size, 0) + count
    return counts


def compressible(histogram):
    """Removes incompressible pages. zswap refuses them, and zram stores each in a page of its
    own, without overhead."""
    return {size: count for size, count in histogram.items() if size < PAGE}


def text(histogram):
    """Formats a histogram for zsmalloc_bench.ko."""
    return "".join(f"{size} {count}\n" for size, count in sorted(histogram.items()))


def real(size="4k"):
    """Returns {compressor: histogram} of all data together, for pages of that size."""
    each = histograms.load(size).values()
    return {name: together(of[name] for of in each) for name in histograms.COMPRESSORS}


def load(size="4k"):
    """Returns {name: text} of the workloads for pages of that size. The mix is one for 4 KiB."""
    mix = {MIXED: mixed()} if size == "4k" else {}
    return {name: text(histogram) for name, histogram in {**mix, **real(size)}.items()}


def load_more():
    """Returns {name: text} of further workloads: one kind of data, such as "zstd-elf", and all
    data without incompressible pages, such as "zstd-fit"."""
    more = {f"{name}-{data}": histogram
            for data, of in histograms.load().items() for name, histogram in of.items()}
    more |= {name + "-fit": compressible(histogram) for name, histogram in real().items()}
    return {name: text(histogram) for name, histogram in more.items()}
