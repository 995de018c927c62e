# SPDX-License-Identifier: GPL-2.0
"""The bench guest: a kernel, our modules, busybox and a plan, which is a list of commands.
This boots the guest and passes its answers on."""

import glob
import io
import lzma
import os
import subprocess
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build")
HERE = os.path.join(ROOT, "scripts", "bench")
MODULES = ("zsmalloc_rs", "zsmalloc_c", "zsmalloc", "zsmalloc_bench")
# For kernels with CONFIG_ZSMALLOC=y.
TAKEOVER_MODULES = ("zsmalloc_rs", "zsmalloc_takeover", "zsmalloc_bench")

WORDS = [
    "console=ttyS0", "loglevel=7", "oops=panic", "panic=-1",
    # Use the emulated TSC as the clock from the start.
    "tsc=reliable",
    # /proc/slabinfo shows the caches of the allocators under their own names.
    "slab_nomerge",
]


class Failed(Exception):
    """A command failed, or the guest did not run it."""


def cpio(files):
    """Returns an initramfs (newc). files is {path: (mode, bytes)}; directories have no bytes."""
    out = io.BytesIO()

    def entry(number, name, mode, data):
        head = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        out.write(b"070701" + b"".join(b"%08x" % n for n in head))
        for part in (name.encode() + b"\0", data):
            out.write(part)
            out.write(bytes(-out.tell() % 4))

    for number, (name, (mode, data)) in enumerate(files.items(), 1):
        entry(number, name, mode, data)
    entry(0, "TRAILER!!!", 0, b"")
    return out.getvalue()


def contents(path):
    with open(path, "rb") as f:
        return f.read()


def kernel_module(folder, name):
    """Returns {name: contents} of one of the kernel's own modules and its dependencies, which
    come first. Dashes and underscores in names are the same."""
    found = [path for dash in "-_" for path in glob.glob(
        os.path.join(folder, "**", name.replace("_", dash) + ".ko*"), recursive=True)
             if path.endswith((".ko", ".ko.xz"))]
    # A dependency may be built in.
    if not found:
        return {}
    content = contents(found[0])
    if found[0].endswith(".xz"):
        content = lzma.decompress(content)
    information = dict(word.split(b"=", 1) for word in content.split(b"\0")
                       if word.startswith(b"depends="))
    modules = {}
    for needed in information.get(b"depends", b"").decode().split(","):
        # We load the drop-in instead.
        if needed and needed != "zsmalloc":
            modules.update(kernel_module(folder, needed))
    modules[name] = content
    return modules


# Debian's kernels for arm64, and the bytes of a page there. The user space is from scripts/sysroot.
ARM64 = {"stock-arm64": 4096, "stock-arm64-16k": 16384}


def page_of(how):
    """Returns the bytes of a page."""
    return ARM64.get(how, 4096)


def initramfs(folder, modules, plan, sizes, path, more=()):
    """Writes the initramfs. more is {path: (mode, bytes)} of additional files."""
    sysroot = os.path.join(BUILD, "sysroot", "arm64") if folder in ARM64 else "/"
    folder = os.path.join(BUILD, "modules", folder)
    files = {name: (0o40755, b"") for name in
             ("bin", "dev", "proc", "sys", "modules", "sizes")}
    files["bin/busybox"] = (0o100755, contents(os.path.join(sysroot, "bin", "busybox")))
    files["init"] = (0o100755, contents(os.path.join(HERE, "init")))
    for m in modules:
        files[f"modules/{m}.ko"] = (0o100644, contents(os.path.join(folder, m + ".ko")))
    files["modules/order"] = (0o100644, "\n".join(modules).encode() + b"\n")
    files.update(more)
    for name, text in sizes.items():
        files[f"sizes/{name}"] = (0o100644, text.encode())
    files["plan"] = (0o100644, ("\n".join(plan) + "\n").encode())
    with open(path, "wb") as f:
        f.write(cpio(files))


IMAGE = os.path.join(BUILD, "kernel", "bench", "arch/x86/boot/bzImage")
# Debian's cloud kernel has no zswap, so zsmalloc is a module.
STOCK_IMAGE = os.path.join(BUILD, "stock", "cloud", "vmlinuz")
STOCK_7_3_IMAGE = os.path.join(BUILD, "stock", "7.3", "vmlinuz")
ICOUNT = ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"]


def qemu(initrd, console, mem, accel, smp, image=IMAGE, words=()):
    return [
        "qemu-system-x86_64", "-cpu", "max", "-smp", str(smp), "-m", mem,
        "-display", "none", "-no-reboot", "-nodefaults",
        "-rtc", "base=2024-01-01,clock=vm",
        "-kernel", image, "-initrd", initrd, "-append", " ".join([*WORDS, *words]),
        "-serial", f"file:{console}", "-serial", "stdio",
    ] + accel


def qemu_arm64(initrd, mem, flavour):
    """The kernel's log and the answers share a console."""
    return [
        "qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a76", "-m", mem,
        "-display", "none", "-no-reboot", "-nodefaults", "-rtc", "base=2024-01-01,clock=vm",
        "-kernel", os.path.join(BUILD, "stock", flavour, "vmlinuz"), "-initrd", initrd,
        "-append", "console=ttyAMA0 loglevel=4 oops=panic panic=-1 slab_nomerge",
        "-serial", "stdio",
    ] + ICOUNT


def uml(initrd, mem, flavour="uml", words=()):
    return [os.path.join(BUILD, "kernel", flavour, "linux"), f"mem={mem}", f"initrd={initrd}",
            "con0=null,fd:1", "con=null", "loglevel=7", "panic=-1", "slab_nomerge", *words]


def watched(console):
    """Returns the options for a plugin that sees all stores. The CPUs run in turns, on one
    thread."""
    return ICOUNT + ["-plugin", f"{os.path.join(BUILD, 'bench', 'watch.so')},out={console}.watch"]


# How the guest runs: the folder of our modules, and a function that returns the command.
HOW = {
    # An instruction takes one nanosecond of guest time.
    "icount": ("bench", lambda i, c, m: qemu(i, c, m, ICOUNT, 1)),
    "stock": ("cloud", lambda i, c, m: qemu(i, c, m, ICOUNT, 1, STOCK_IMAGE)),
    "stock-7.3": ("stock-7.3", lambda i, c, m: qemu(i, c, m, ICOUNT, 1, STOCK_7_3_IMAGE)),
    "stock-arm64": ("stock-arm64", lambda i, c, m: qemu_arm64(i, m, "stock-arm64")),
    "stock-arm64-16k": ("stock-arm64-16k", lambda i, c, m: qemu_arm64(i, m, "stock-arm64-16k")),
    # For counting memory. Nothing is timed.
    "plain": ("bench", lambda i, c, m: qemu(i, c, m, ["-accel", "tcg,thread=single"], 1)),
    "smp": ("bench", lambda i, c, m: qemu(i, c, m, ["-accel", "tcg,thread=multi"], 2)),
    "watch": ("bench", lambda i, c, m: qemu(i, c, m, watched(c), 2)),
    # Without KASLR, as the plugin identifies struct page by its address.
    "watch-7.3": ("stock-7.3", lambda i, c, m: qemu(i, c, m, watched(c), 2, STOCK_7_3_IMAGE,
                                                   ["nokaslr"])),
    "uml": ("uml", lambda i, c, m: uml(i, m)),
    # The same with the locks of an SMP kernel in our modules.
    "uml-smp": ("uml-smp", lambda i, c, m: uml(i, m)),
    # An SMP kernel. Each CPU is a thread of the host.
    "uml-7.3": ("uml-7.3", lambda i, c, m: uml(i, m, "uml-7.3", ["ncpus=2", "seccomp=on"])),
}


def parse(answer):
    """Parses words of the form key=value. Numbers become int."""
    fields = {}
    for word in answer.split():
        key, _, value = word.partition("=")
        fields[key] = int(value) if value.isdigit() else value
    return fields


class Guest:
    """Collects the commands of a plan, then runs them in one boot."""

    def __init__(self, how, name, sizes, mem="1G", modules=MODULES, disks=(), files=()):
        self.how, self.name, self.sizes, self.mem = how, name, sizes, mem
        self.modules, self.disks, self.files = modules, disks, files
        self.plan = []
        self.handlers = []

    def do(self, line, handler=None):
        """Adds a command. The handler gets the fields of its answer."""
        self.plan.append(line)
        self.handlers.append(handler)

    def run(self, timeout=900):
        folder = os.path.join(BUILD, "bench", "guest", self.name)
        os.makedirs(folder, exist_ok=True)
        initrd = os.path.join(folder, "initrd.img")
        console = os.path.join(folder, "console.log")
        of_modules, command = HOW[self.how]
        initramfs(of_modules, self.modules, self.plan, self.sizes, initrd, self.files)
        drives = [word for disk in self.disks for word in
                  ("-drive", f"file={disk},if=virtio,format=raw,readonly=on")]
        begin = time.monotonic()
        with open(os.path.join(folder, "stderr.log"), "wb") as errors:
            process = subprocess.Popen(command(initrd, console, self.mem) + drives,
                                       stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=errors)
            watchdog = threading.Timer(timeout, process.kill)
            watchdog.start()
            try:
                output = process.stdout.read().decode(errors="replace")
            except BaseException:
                process.kill()
                raise
            finally:
                process.wait()
                watchdog.cancel()
        with open(os.path.join(folder, "output.log"), "w", encoding="utf-8") as f:
            f.write(output)
        os.remove(initrd)
        self.judge(output, folder)
        return time.monotonic() - begin

    def judge(self, output, folder):
        answers = {}
        ended = False
        for line in output.splitlines():
            if not line.startswith("@ "):
                continue
            if line.strip() == "@ end":
                ended = True
                continue
            number, state, *text = line[2:].split(" ", 2)
            answers[int(number)] = (state, text[0] if text else "")
        for number, line in enumerate(self.plan, 1):
            state, text = answers.get(number, ("not reached", ""))
            if state != "ok":
                raise Failed(f"{self.name}: '{line}' {state}: {text} (logs: {folder})")
        if not ended:
            raise Failed(f"{self.name}: the guest did not end (logs: {folder})")
        for number, handler in enumerate(self.handlers, 1):
            if handler:
                handler(parse(answers[number][1]))
