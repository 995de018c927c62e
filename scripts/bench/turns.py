# SPDX-License-Identifier: GPL-2.0
"""Results of both allocators from many turns."""

import statistics

from icount import BACKENDS


def spread(values):
    """Returns median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return {"low": low, "median": middle, "high": high, "n": len(values)}


def summary(samples):
    """Summarises {backend: [number of each turn]}. The ratio is that of each turn."""
    ratios = [rust / c for c, rust in zip(samples["c"], samples["rust"])]
    return {**{backend: statistics.median(samples[backend]) for backend in BACKENDS},
            **{"spread_" + backend: spread(samples[backend]) for backend in BACKENDS},
            "spread_ratio": spread(ratios)}


def collector(results, backend):
    """Returns put(measure, value), which keeps all values."""
    return lambda measure, value: results.setdefault(measure, {}).setdefault(
        backend, []).append(value)
