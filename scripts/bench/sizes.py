# SPDX-License-Identifier: GPL-2.0
"""What sizes objects have: made-up mixes, and histograms of real pages."""

import histograms

PAGE = 4096
MIXED = "mixed"


def mixed():
    """Any compressed size as often as any other, 7 % of pages incompressible."""
    compressed = range(32, 3600)
    return {**{size: 93 for size in compressed}, PAGE: 7 * len(compressed)}


def together(several):
    """One histogram of several."""
    counts = {}
    for histogram in several:
        for size, count in histogram.items():
            counts[size] = counts.get(size, 0) + count
    return counts


def compressible(histogram):
    """Without what is stored as it is: zswap refuses that, zram keeps it in a
    page of its own, which has no overhead."""
    return {size: count for size, count in histogram.items() if size < PAGE}


def text(histogram):
    """As zsmalloc_bench.ko takes it."""
    return "".join(f"{size} {count}\n" for size, count in sorted(histogram.items()))


def real():
    """{compressor: histogram} of all data together."""
    each = histograms.load().values()
    return {name: together(of[name] for of in each) for name in histograms.COMPRESSORS}


def load():
    """{name: text}: what operations are measured with."""
    return {name: text(histogram) for name, histogram in {MIXED: mixed(), **real()}.items()}


def load_more():
    """{name: text}: the real ones apart, as in "zstd-elf", and together but without
    incompressible pages, as in "zstd-fit"."""
    more = {f"{name}-{data}": histogram
            for data, of in histograms.load().items() for name, histogram in of.items()}
    more |= {name + "-fit": compressible(histogram) for name, histogram in real().items()}
    return {name: text(histogram) for name, histogram in more.items()}
