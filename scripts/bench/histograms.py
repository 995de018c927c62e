# SPDX-License-Identifier: GPL-2.0
"""Histograms of the compressed sizes of real pages: histograms/DATA.csv in the
repository. `scripts/bench/main --histograms` writes them, from this machine's files and
processes, with the compressors of the guest's kernel."""

import glob
import os
import shlex
import signal
import subprocess
import time

from guest import BUILD, HERE, Failed, Guest

PAGE = 4096
PAGES = 12288
COMPRESSORS = ("lzo-rle", "lz4", "zstd")
FOLDER = os.path.join(HERE, "histograms")


def spread(pages, count=PAGES):
    """Returns `count` of the pages, evenly spread, in runs of sixteen as swap-out takes them."""
    if len(pages) < count:
        raise Failed(f"only {len(pages)} pages of data, {count} are needed")
    runs = [pages[at:at + 16] for at in range(0, len(pages) - 15, 16)]
    wanted = count // 16
    return [page for k in range(wanted) for page in runs[k * len(runs) // wanted]]


def paged(data):
    """Splits data into pages. The last one is padded with zeroes, as in the page cache."""
    data += bytes(-len(data) % PAGE)
    return [data[at:at + PAGE] for at in range(0, len(data), PAGE)]


def text():
    """C files of the kernel: mm, kernel, lib, fs and net."""
    pages = []
    for top in ("mm", "kernel", "lib", "fs", "net"):
        for path in sorted(glob.glob(os.path.join(BUILD, "linux", top, "**/*.[ch]"),
                                     recursive=True)):
            with open(path, "rb") as f:
                pages += paged(f.read())
    return pages


def elf():
    """LLVM 19's shared library."""
    path = glob.glob("/usr/lib/x86_64-linux-gnu/libLLVM*.so*19*")
    if not path:
        raise Failed("there is no libLLVM 19: make setup")
    with open(os.path.realpath(path[0]), "rb") as f:
        return paged(f.read())


def anonymous(process, least):
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
                    pages += [page for page in paged(data) if page.strip(b"\0")]
                    start += len(data)
        return pages
    finally:
        process.kill()
        process.wait()


def clang():
    """The clang that built the kernel, optimising a large file of it."""
    folder = os.path.join(BUILD, "kernel", "bench")
    with open(os.path.join(folder, "kernel/sched/.core.o.cmd"), encoding="utf-8") as f:
        words = shlex.split(f.readline().split(":=", 1)[1].split(";")[0])
    words = [word for word in words if word != "ccache" and not word.startswith("-Wp,-MMD")]
    words[words.index("-o") + 1] = "/dev/null"
    words[0] = subprocess.run(["bash", "-c", ". ../kernel-env; command -v clang"], cwd=HERE,
                              check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    with subprocess.Popen(words + ["-g"], cwd=folder) as process:
        return anonymous(process, 64 << 20)


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


def python():
    """A Python that parses its library and keeps trees and an index of words."""
    with subprocess.Popen(["/usr/bin/python3", "-c", PYTHON]) as process:
        return anonymous(process, 128 << 20)


DATA = {"text": text, "elf": elf, "clang": clang, "python": python}


def sample(path, count):
    """Writes `count` pages to a file, a quarter of each kind of data. Keeps an existing file."""
    if os.path.exists(path) and os.path.getsize(path) == count * PAGE:
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "wb") as f:
        for pages_of in DATA.values():
            f.write(b"".join(spread(pages_of(), count // len(DATA))))
    os.rename(path + ".new", path)


def path_of(data):
    return os.path.join(FOLDER, data + ".csv")


def keep(data, fields):
    """Writes histograms/DATA.csv from the answer of the guest."""
    same = fields.pop("same")
    lines = ["# SPDX-License-Identifier: GPL-2.0",
             f"# {PAGES} pages: {' '.join(DATA[data].__doc__.split())}",
             f"# {same} of them hold one word all over and are in no column.",
             "size," + ",".join(COMPRESSORS)]
    lines += [f"{size},{counts.replace('/', ',')}" for size, counts in fields.items()]
    with open(path_of(data), "w", encoding="ascii") as f:
        f.write("\n".join(lines) + "\n")


def make(say):
    """Writes all histograms."""
    os.makedirs(FOLDER, exist_ok=True)
    folder = os.path.join(BUILD, "bench", "pages")
    os.makedirs(folder, exist_ok=True)
    disks = []
    for data, pages_of in DATA.items():
        say(f"pages of {data}")
        disks.append(os.path.join(folder, data))
        with open(disks[-1], "wb") as f:
            f.write(b"".join(spread(pages_of())))
    say("compressing them in the guest")
    guest = Guest("plain", "histograms", {}, modules=("zsmalloc_histogram",), disks=disks)
    for number, data in enumerate(DATA):
        guest.do(f"compress /dev/vd{chr(ord('a') + number)}",
                 lambda fields, data=data: keep(data, fields))
    guest.run()
    for disk in disks:
        os.remove(disk)


def load():
    """Returns {data: {compressor: {size: count}}}."""
    results = {}
    for data in DATA:
        with open(path_of(data), encoding="ascii") as f:
            rows = [line.strip().split(",") for line in f if not line.startswith("#")]
        names = rows[0][1:]
        results[data] = {
            name: {int(row[0]): int(row[1 + column]) for row in rows[1:]
                   if int(row[1 + column])}
            for column, name in enumerate(names)}
    return results
