# SPDX-License-Identifier: GPL-2.0
"""What sizes objects have: made-up mixes, and histograms of real pages."""

PAGE = 4096


def mixed():
    """Any compressed size as often as any other, 7 % of pages incompressible."""
    compressed = range(32, 3600)
    return {**{size: 93 for size in compressed}, PAGE: 7 * len(compressed)}


def text(histogram):
    """As zsmalloc_bench.ko takes it."""
    return "".join(f"{size} {count}\n" for size, count in sorted(histogram.items()))


def load():
    """{name: text} of all of them."""
    return {"mixed": text(mixed())}
