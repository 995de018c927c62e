#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Density with pages of 4, 16 and 64 KiB: the engine on the host against the
policy of C zsmalloc (rust/host/examples/density.rs). Objects have the sizes of
real pages of each size, compressed. Prints a table."""

import argparse
import os
import subprocess

import histograms
import rst
import sizes
from guest import BUILD, ROOT, parse

# As in scripts/test.
RUSTC = os.environ.get("RUSTC", "/usr/bin/rustc")
# Pools of as many objects with each size of pages, pools of as many bytes, and small ones.
OBJECTS = 100000
SMALL = 1000
STATES = {"fresh": "fresh", "freed": "60 % freed", "later": "five seconds later",
          "compacted": "compacted"}


def built(size):
    """The program for pages of that size."""
    env = dict(os.environ, RUSTC=RUSTC, CARGO_TARGET_DIR=os.path.join(BUILD, "host"))
    if size != "4k":
        env["RUSTFLAGS"] = f'--cfg zs_pages="{size}"'
        env["CARGO_TARGET_DIR"] += "-" + size
    subprocess.run(["cargo", "build", "--locked", "--release", "--quiet", "--example", "density"],
                   cwd=os.path.join(ROOT, "rust", "host"), env=env, check=True)
    return os.path.join(env["CARGO_TARGET_DIR"], "release", "examples", "density")


def measure(program, objects, histogram):
    """{allocator: {state: (bytes stored, bytes taken)}}"""
    output = subprocess.run([program, str(objects)], input=sizes.text(histogram),
                            stdout=subprocess.PIPE, check=True, text=True).stdout
    results = {"c": {}, "rust": {}}
    for line in output.splitlines():
        of = parse(line)
        results[of["allocator"]][of["state"]] = (of["stored"], of["pages"] + of["metadata"])
    return results


def excess(stored, taken):
    return taken / stored - 1


def spread(numbers, form):
    low, high = (form.format(n) for n in (min(numbers), max(numbers)))
    return low if low == high else f"{low}-{high}"


def rows(size):
    """Of each pool: its pages, its objects, and the excess in each state."""
    program = built(size)
    page = histograms.bytes_of(size)
    real = sizes.real(size)
    for objects in sorted({OBJECTS, OBJECTS * 4096 // page, SMALL}, reverse=True):
        of = [measure(program, objects, histogram) for histogram in real.values()]
        row = [f"{size[:-1]} KiB", f"{objects:,}"]
        for state in STATES:
            c, rust = ([excess(*results[allocator][state]) for results in of]
                       for allocator in ("c", "rust"))
            row.append(f"{spread([r / c for c, r in zip(c, rust)], '{:.2f}')}: "
                       f"{spread([100 * n for n in c], '{:.1f}')} % / "
                       f"{spread([100 * n for n in rust], '{:.1f}')} %")
        yield row


HEAD = ["pages", "objects", *STATES.values()]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rst", metavar="FILE", help="write the table to FILE")
    args = parser.parse_args()
    table = [row for size in histograms.PAGES for row in rows(size)]
    for row in [HEAD, *table]:
        print("{:8}{:>8}{:>38}{:>38}{:>38}{:>38}".format(*row))
    if args.rst:
        with open(args.rst, "w", encoding="ascii") as f:
            f.write(".. SPDX-License-Identifier: GPL-2.0\n"
                    ".. Written by scripts/bench/page_sizes.py --rst.\n\n")
            f.write(rst.table("Rust / C of the excess: the excess of C / of Rust", HEAD, table))


if __name__ == "__main__":
    main()
