# SPDX-License-Identifier: GPL-2.0
"""Histograms of the compressed sizes of real pages: histograms/DATA.csv for pages of
4 KiB, DATA-16k.csv and DATA-64k.csv for larger ones, in the repository.
`scripts/bench/main --histograms` writes them, from this machine's files and
processes, with the compressors of the guest's kernel."""

import glob
import os
import shlex
import signal
import subprocess
import time

from guest import BUILD, HERE, Failed, Guest

# How many pages of each size there are in a histogram, by the name of the size.
PAGES = {"4k": 12288, "16k": 2048, "64k": 768}
COMPRESSORS = ("lzo-rle", "lz4", "zstd")
FOLDER = os.path.join(HERE, "histograms")


def bytes_of(size):
    """Returns 4096 for "4k"."""
    return int(size[:-1]) << 10


def spread(pages, size="4k", count=None):
    """Returns `count` of the pages, evenly spread, in runs of 64 KiB as swap-out takes them."""
    count = PAGES[size] if count is None else count
    if len(pages) < count:
        raise Failed(f"only {len(pages)} pages of data, {count} are needed")
    length = (64 << 10) // bytes_of(size)
    runs = [pages[at:at + length] for at in range(0, len(pages) - length + 1, length)]
    wanted = count // length
    return [page for k in range(wanted) for page in runs[k * len(runs) // wanted]]


def paged(data, size):
    """Splits data into pages. The last one is padded with zeroes, as in the page cache."""
    page = bytes_of(size)
    data += bytes(-len(data) % page)
    return [data[at:at + page] for at in range(0, len(data), page)]


def text(size):
    """C files of the kernel: mm, kernel, lib, fs and net."""
    pages = []
    for top in ("mm", "kernel", "lib", "fs", "net"):
        for path in sorted(glob.glob(os.path.join(BUILD, "linux", top, "**/*.[ch]"),
                                     recursive=True)):
            with open(path, "rb") as f:
                pages += paged(f.read(), size)
    return pages


def elf(size):
    """LLVM 19's shared library."""
    path = glob.glob("/usr/lib/x86_64-linux-gnu/libLLVM*.so*19*")
    if not path:
        raise Failed("there is no libLLVM 19: make setup")
    with open(os.path.realpath(path[0]), "rb") as f:
        return paged(f.read(), size)


def anonymous(process, least, size):
    """Returns the anonymous pages of a process at the moment when it has that many bytes
    of them; then it is stopped for good. Pages of zeroes are left out: there is
    no telling those that were never touched."""
    try:
        while True:
            with open(f"/proc/{process.pid}/status", encoding="ascii") as f:
                rss = [int(line.split()[1]) for line in f if line.startswith("RssAnon:")]
            if rss and rss[0] * 1024 >= least:
                break
            if process.poll() is not None:
                raise Failed(f"'{process.args[0]}' ended with too little memory")
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        pages = []
        with open(f"/proc/{process.pid}/maps", encoding="ascii") as maps, \
                open(f"/proc/{process.pid}/mem", "rb", 0) as memory:
            for line in maps:
                span, mode, *_, name = (line.split(None, 5) + [""])[:6]
                if not mode.startswith("rw") or name.strip() not in ("", "[heap]", "[stack]"):
                    continue
                start, end = (int(word, 16) for word in span.split("-"))
                memory.seek(start)
                while start < end:
                    data = memory.read(min(end - start, 1 << 20))
                    if not data:
                        break
                    pages += [page for page in paged(data, size) if page.strip(b"\0")]
                    start += len(data)
        return pages
    finally:
        process.kill()
        process.wait()


def clang(size):
    """The clang that built the kernel, optimising a large file of it."""
    folder = os.path.join(BUILD, "kernel", "bench")
    with open(os.path.join(folder, "kernel/sched/.core.o.cmd"), encoding="utf-8") as f:
        words = shlex.split(f.readline().split(":=", 1)[1].split(";")[0])
    words = [word for word in words if word != "ccache" and not word.startswith("-Wp,-MMD")]
    words[words.index("-o") + 1] = "/dev/null"
    words[0] = subprocess.run(["bash", "-c", ". ../kernel-env; command -v clang"], cwd=HERE,
                              check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    with subprocess.Popen(words + ["-g"], cwd=folder) as process:
        return anonymous(process, 64 << 20, size)


PYTHON = """
import ast, glob, os, re, sys
kept, words = [], {}
for path in sorted(glob.glob(os.path.dirname(ast.__file__) + "/**/*.py", recursive=True)):
    try:
        text = open(path, encoding="utf-8").read()
        kept.append(ast.parse(text))
    except (SyntaxError, UnicodeDecodeError):
        continue
    for word in re.findall(r"\\w+", text):
        words.setdefault(word, []).append(len(kept))
"""


def python(size):
    """A Python that parses its library and keeps trees and an index of words."""
    with subprocess.Popen(["/usr/bin/python3", "-c", PYTHON]) as process:
        return anonymous(process, 128 << 20, size)


DATA = {"text": text, "elf": elf, "clang": clang, "python": python}


def sample(path, count):
    """Writes `count` pages of 4 KiB to a file, a quarter of each kind of data. Keeps an existing
    file."""
    if os.path.exists(path) and os.path.getsize(path) == count * bytes_of("4k"):
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "wb") as f:
        for pages_of in DATA.values():
            f.write(b"".join(spread(pages_of("4k"), "4k", count // len(DATA))))
    os.rename(path + ".new", path)


def path_of(data, size):
    return os.path.join(FOLDER, data + ("" if size == "4k" else "-" + size) + ".csv")


def keep(data, size, fields):
    """Writes a histogram from the answer of the guest."""
    same = fields.pop("same")
    of = "" if size == "4k" else f" of {size[:-1]} KiB"
    lines = ["# SPDX-License-Identifier: GPL-2.0",
             f"# {PAGES[size]} pages{of}: {' '.join(DATA[data].__doc__.split())}",
             f"# {same} of them hold one word all over and are in no column.",
             "size," + ",".join(COMPRESSORS)]
    lines += [f"{length},{counts.replace('/', ',')}" for length, counts in fields.items()]
    with open(path_of(data, size), "w", encoding="ascii") as f:
        f.write("\n".join(lines) + "\n")


def make(say, page_sizes):
    """Writes all histograms of pages of these sizes."""
    os.makedirs(FOLDER, exist_ok=True)
    folder = os.path.join(BUILD, "bench", "pages")
    os.makedirs(folder, exist_ok=True)
    for size in page_sizes:
        disks = []
        for data, pages_of in DATA.items():
            say(f"pages of {data}, {size}")
            disks.append(os.path.join(folder, data))
            with open(disks[-1], "wb") as f:
                f.write(b"".join(spread(pages_of(size), size)))
        say("compressing them in the guest")
        guest = Guest("plain", "histograms", {}, modules=("zsmalloc_histogram",), disks=disks)
        for number, data in enumerate(DATA):
            guest.do(f"compress /dev/vd{chr(ord('a') + number)} {bytes_of(size)}",
                     lambda fields, data=data, size=size: keep(data, size, fields))
        guest.run()
        for disk in disks:
            os.remove(disk)


def load(size="4k"):
    """Returns {data: {compressor: {length: count}}} for pages of that size."""
    results = {}
    for data in DATA:
        with open(path_of(data, size), encoding="ascii") as f:
            rows = [line.strip().split(",") for line in f if not line.startswith("#")]
        names = rows[0][1:]
        results[data] = {
            name: {int(row[0]): int(row[1 + column]) for row in rows[1:]
                   if int(row[1 + column])}
            for column, name in enumerate(names)}
    return results
