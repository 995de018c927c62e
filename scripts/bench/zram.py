# SPDX-License-Identifier: GPL-2.0
"""Instructions per page that is written to, read from or discarded on the kernel's
unmodified zram with either allocator, from the system call to the allocator and back."""

import os
import subprocess

import histograms
from guest import BUILD, HERE, MODULES, TAKEOVER_MODULES, Guest, contents, kernel_module
from icount import BACKENDS, recorder

ALGORITHMS = ("lz4",)
# Pages of data, and of the device.
DATA_PAGES = 8192
PAGES = 8192
DATA = os.path.join(BUILD, "bench", "pages", "zram")
# For each kernel our modules, and the folder of the kernel's own.
KERNELS = {
    "icount": (MODULES, os.path.join(BUILD, "kernel", "bench")),
    "stock-7.3": (TAKEOVER_MODULES, os.path.join(BUILD, "stock", "7.3", "modules")),
}


def guest_with_zram(how, name):
    """Returns a guest with zram.ko, the program that sends it requests, and data."""
    program = os.path.join(BUILD, "bench", "zb_pages")
    subprocess.run(["gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program,
                    os.path.join(HERE, "zb_pages.c")], check=True)
    histograms.sample(DATA, DATA_PAGES)
    ours, folder = KERNELS[how]
    kernels = kernel_module(folder, "zram")
    files = {"bin/zb_pages": (0o100755, contents(program)), "data": (0o100644, contents(DATA))}
    files |= {f"modules/{name}.ko": (0o100644, content) for name, content in kernels.items()}
    # "zram" loads zram itself for each device.
    order = [*ours, *(name for name in kernels if name != "zram")]
    files["modules/order"] = (0o100644, "\n".join(order).encode() + b"\n")
    return Guest(how, name, {}, modules=ours, files=files)


def per_request(fields):
    return (fields["ns"] - fields["loop_ns"]) / fields["ops"]


def requests(guest, backend, algorithm, put):
    """Measures all requests on one device."""
    def cost(name):
        return lambda fields: put(name, per_request(fields))

    guest.do(f"use {backend}")
    guest.do(f"zram {algorithm} {PAGES}")
    guest.do(f"pages write n={PAGES} seed=1", cost("write"))
    guest.do(f"pages overwrite n={PAGES} seed=2", cost("overwrite"))
    guest.do(f"pages read n={PAGES} seed=3", cost("read"))
    guest.do("zram-stat", lambda f: [put(name, f[name]) for name in
                                     ("original", "bytes", "used", "same", "huge")])
    guest.do("pages discard keep=40 seed=4", cost("discard"))
    guest.do("pages verify")
    guest.do("zram-end")


def run(sizes, workloads):
    """Returns {how: {algorithm: {measure: {backend: number}}}}."""
    results = {}
    for how in KERNELS:
        guest = guest_with_zram(how, how + "-zram")
        guest.do("idle 20")
        for algorithm in ALGORITHMS:
            # The first round warms up the page allocator. The second overwrites its
            # results.
            for _ in range(2):
                for backend in BACKENDS:
                    requests(guest, backend, algorithm,
                             recorder(results, how, algorithm, backend))
        guest.run(timeout=1800)
    return results
