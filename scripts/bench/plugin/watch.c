// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin for QEMU's TCG. It records all stores of the guest between the marks
 * that rust/bench/marks.h puts around an operation. At the end it prints:
 *
 *   op CODE ops=N stores=N shared=N
 *	for operations with that code: their number, the number of their stores,
 *	and the number of stores to shared cache lines. A line is shared if
 *	operations with the same code wrote to it on both CPUs.
 *   line CODE ADDRESS stores=N
 *	the shared lines with the most stores
 *   under CODE by=byte|word instructions=N
 *	the number of instructions that operations executed while they held a lock
 *   held CODE by=byte|word locks=N longest=N
 *	during compaction, for locks that malloc, map or free take, too: how often
 *	one was taken, and the longest stretch, in instructions, between two
 *	accesses of its holder to it. The holder checks for contention with such an
 *	access, and then releases the lock. So nobody waits longer than this.
 *
 * A lock is a location that an atomic instruction writes and a plain store
 * releases. The plain store has one byte for spinlock_t and rwlock_t, and eight
 * bytes for a handle's entry of the Rust allocator.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_plugin.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = API;

#define MAX_CPUS 2
#define MAX_CODES 32
/* Of addresses. */
#define KERNEL 0x8000000000000000ULL

/* A mark is "nopl 0x5a42CCEE(%rax)": code, and whether it begins or ends. */
#define MARK 0x5a420000U

static int now[MAX_CPUS];	/* code of the current operation, -1 if none */
static uint64_t ops[MAX_CODES], stores[MAX_CODES];
static uint64_t instructions[MAX_CPUS];

/* Hash table of the cache lines that were written to, by code. */
#define LINES 0x400000

struct line {
	uint64_t line;		/* 0: free */
	uint32_t code;
	uint32_t stores[MAX_CPUS];
};

static struct line lines[LINES];
static unsigned int nr_lines;

/* Hash table of the locations that were written to by an atomic instruction. */
#define LOCKS 0x40000

struct lock {
	uint64_t address;	/* divided by eight; 0: free */
	uint64_t seen;		/* last access of its holder; 0: not held */
	uint64_t longest;	/* since it was taken */
	uint32_t looks;		/* accesses since it was taken */
	uint32_t of;		/* mask of allocators that take it */
	uint32_t width;		/* of the atomic store that took it */
	uint32_t in;		/* the operation that took it */
	uint64_t taken;		/* when, in that operation */
};

static struct lock locks[LOCKS];
static unsigned int nr_locks;
static uint32_t operation;	/* its number */
static uint64_t under_lock[MAX_CODES][2];
static uint64_t outer_released;	/* when a lock held for long was last released */
static uint64_t held[MAX_CODES][2], longest[MAX_CODES][2];

/* The bits in struct page are locks of the kernel, not of the allocators. */
static bool is_struct_page(uint64_t address)
{
	/* With page tables of four levels, and of five. */
	return (address >= 0xffffea0000000000ULL && address < 0xffffeb0000000000ULL) ||
	       (address >= 0xffd4000000000000ULL && address < 0xffd6000000000000ULL);
}

/* ZB_MARK_COMPACT, of either allocator. */
static bool is_compaction(uint32_t code)
{
	return (code & 7) == 3;
}

static uint32_t hash(uint64_t key)
{
	return (key * 0x9e3779b97f4a7c15ULL) >> 32;
}

static void count_store(unsigned int cpu, uint32_t code, uint64_t address)
{
	uint64_t line = address / 64;
	uint32_t i = hash(line * MAX_CODES + code) % LINES;

	stores[code]++;
	while (lines[i].line && (lines[i].line != line || lines[i].code != code))
		i = (i + 1) % LINES;
	if (!lines[i].line) {
		if (++nr_lines > LINES / 4 * 3) {
			fprintf(stderr, "watch: too many cache lines\n");
			exit(1);
		}
		lines[i].line = line;
		lines[i].code = code;
	}
	lines[i].stores[cpu]++;
}

static struct lock *lock_at(uint64_t address, bool add)
{
	uint32_t i = hash(address / 8) % LOCKS;

	while (locks[i].address && locks[i].address != address / 8)
		i = (i + 1) % LOCKS;
	if (!locks[i].address) {
		if (!add)
			return NULL;
		if (++nr_locks > LOCKS / 4 * 3) {
			fprintf(stderr, "watch: too many locks\n");
			exit(1);
		}
		locks[i].address = address / 8;
	}
	return &locks[i];
}

static uint32_t allocator(uint32_t code)
{
	return code & 16 ? 2 : 1;
}

/* 0 for a store of a byte, 1 for one of eight, -1 for others. */
static int kind_of(unsigned int shift)
{
	return shift == 0 ? 0 : shift == 3 ? 1 : -1;
}

/* A store of malloc, map or free. */
static void lock_or_unlock(unsigned int cpu, uint64_t address, bool atomic, unsigned int shift)
{
	struct lock *lock = lock_at(address, atomic);
	uint32_t code = now[cpu];

	if (!lock)
		return;
	if (atomic) {
		lock->of |= allocator(code);
		if (lock->in != operation)
			lock->taken = instructions[cpu];
		lock->in = operation;
	} else if (lock->in == operation) {
		if (kind_of(shift) >= 0)
			under_lock[code][kind_of(shift)] += instructions[cpu] - lock->taken;
		lock->in = 0;
	}
}

/* An access during a compaction. */
static void look(unsigned int cpu, uint64_t address, bool atomic, bool is_store, unsigned int shift)
{
	struct lock *lock = lock_at(address, false);
	uint32_t code = now[cpu];
	uint64_t since;
	bool stale;

	if (!lock || !(lock->of & allocator(code)))
		return;
	if (!lock->seen) {
		if (atomic && is_store) {
			lock->seen = instructions[cpu];
			lock->width = shift;
		}
		return;
	}
	since = instructions[cpu] - lock->seen;
	if (since > lock->longest)
		lock->longest = since;
	/*
	 * A handle's entry is taken and released by stores of the same width, and
	 * released before the next lock that is not the page allocator's. Everything
	 * else is a reference count or similar, which is used again much later.
	 */
	stale = is_store && !atomic && kind_of(shift) == 1 &&
		(lock->width != shift || outer_released > lock->seen);
	lock->seen = instructions[cpu];
	lock->looks++;
	if (is_store && !atomic) {
		int kind = kind_of(shift);

		/* A class lock is held for many objects, unlike those of the page allocator. */
		if (kind == 0 && lock->looks > 4)
			outer_released = instructions[cpu];
		if (kind >= 0 && !stale) {
			held[code][kind]++;
			if (lock->longest > longest[code][kind])
				longest[code][kind] = lock->longest;
		}
		lock->seen = 0;
		lock->longest = 0;
		lock->looks = 0;
	}
}

static void on_memory(unsigned int cpu, uint32_t info, uint64_t address, void *atomic)
{
	bool is_store;

	if (cpu >= MAX_CPUS || now[cpu] < 0 || address < KERNEL)
		return;
	is_store = qemu_plugin_mem_is_store(info);
	if (is_store)
		count_store(cpu, now[cpu], address);
	if (is_struct_page(address))
		return;
	if (is_compaction(now[cpu]))
		look(cpu, address, atomic, is_store, qemu_plugin_mem_size_shift(info));
	else if (is_store)
		lock_or_unlock(cpu, address, atomic, qemu_plugin_mem_size_shift(info));
}

static void on_mark(unsigned int cpu, void *data)
{
	uint32_t mark = (uintptr_t)data, code = (mark >> 8) & 0xff;

	if (cpu >= MAX_CPUS || code >= MAX_CODES)
		return;
	if (mark & 1) {
		now[cpu] = code;
		ops[code]++;
		operation++;
	} else {
		now[cpu] = -1;
	}
}

static void on_instruction(unsigned int cpu, void *data)
{
	if (cpu < MAX_CPUS)
		instructions[cpu]++;
}

static bool is_atomic(const uint8_t *code, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (code[i] == 0xf0)
			return true;
		/* xchg with memory needs no prefix. */
		if ((code[i] == 0x86 || code[i] == 0x87) && i + 1 < len)
			return code[i + 1] < 0xc0;
		/* Prefixes of segments, sizes, and REX. */
		if (code[i] != 0x65 && code[i] != 0x66 && code[i] != 0x2e && code[i] != 0x3e &&
		    (code[i] & 0xf0) != 0x40)
			return false;
	}
	return false;
}

static void on_translation(uint64_t id, struct qemu_plugin_tb *tb)
{
	size_t i, n = qemu_plugin_tb_n_insns(tb);

	for (i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		size_t len = qemu_plugin_insn_size(insn);
		uint8_t code[16] = {};
		uint32_t mark;

		if (qemu_plugin_insn_vaddr(insn) < KERNEL || len > sizeof(code))
			continue;
#if API >= 3
		qemu_plugin_insn_data(insn, code, len);
#else
		memcpy(code, qemu_plugin_insn_data(insn), len);
#endif
		memcpy(&mark, code + 3, sizeof(mark));
		if (len == 7 && !memcmp(code, "\x0f\x1f\x80", 3) && (mark & 0xffff0000U) == MARK) {
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark,
							       QEMU_PLUGIN_CB_NO_REGS,
							       (void *)(uintptr_t)mark);
			continue;
		}
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_instruction,
						       QEMU_PLUGIN_CB_NO_REGS, NULL);
		qemu_plugin_register_vcpu_mem_cb(insn, on_memory, QEMU_PLUGIN_CB_NO_REGS,
						 QEMU_PLUGIN_MEM_RW,
						 (void *)(uintptr_t)is_atomic(code, len));
	}
}

static bool is_shared(const struct line *line)
{
	return line->stores[0] && line->stores[1];
}

static uint64_t sum(const struct line *line)
{
	return (uint64_t)line->stores[0] + line->stores[1];
}

/* Sorts shared lines first, by the number of stores. */
static int compare(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	uint64_t p = is_shared(x) ? sum(x) : 0, q = is_shared(y) ? sum(y) : 0;

	return p < q ? 1 : p > q ? -1 : 0;
}

static void at_exit(uint64_t id, void *path)
{
	uint64_t shared[MAX_CODES] = {};
	uint32_t i, code, printed[MAX_CODES] = {};
	FILE *out = fopen(path, "w");

	if (!out) {
		perror(path);
		return;
	}
	for (i = 0; i < LINES; i++)
		if (is_shared(&lines[i]))
			shared[lines[i].code] += sum(&lines[i]);
	qsort(lines, LINES, sizeof(*lines), compare);
	for (code = 0; code < MAX_CODES; code++)
		if (ops[code])
			fprintf(out, "op %u ops=%" PRIu64 " stores=%" PRIu64 " shared=%"
				PRIu64 "\n", code, ops[code], stores[code], shared[code]);
	for (i = 0; i < LINES && is_shared(&lines[i]); i++)
		if (printed[lines[i].code]++ < 5)
			fprintf(out, "line %u %" PRIx64 " stores=%" PRIu64 "\n", lines[i].code,
				lines[i].line * 64, sum(&lines[i]));
	for (code = 0; code < MAX_CODES; code++)
		for (i = 0; i < 2; i++)
			if (held[code][i])
				fprintf(out, "held %u by=%s locks=%" PRIu64 " longest=%" PRIu64
					"\n", code, i ? "word" : "byte", held[code][i],
					longest[code][i]);
	for (code = 0; code < MAX_CODES; code++)
		for (i = 0; i < 2; i++)
			if (under_lock[code][i])
				fprintf(out, "under %u by=%s instructions=%" PRIu64 "\n", code,
					i ? "word" : "byte", under_lock[code][i]);
	fclose(out);
}

EXPORT int qemu_plugin_install(uint64_t id, const struct qemu_info *info, int argc,
			       char **argv)
{
	int i;

	if (argc != 1 || strncmp(argv[0], "out=", 4)) {
		fprintf(stderr, "watch: out=FILE is missing\n");
		return -1;
	}
	for (i = 0; i < MAX_CPUS; i++)
		now[i] = -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	qemu_plugin_register_atexit_cb(id, at_exit, strdup(argv[0] + 4));
	return 0;
}
