// SPDX-License-Identifier: GPL-2.0
/*
 * A process with known data in anonymous memory, which is swapped, that checks
 * every byte.
 *
 *	zs_hog DEV BYTES
 *
 * DEV holds the data. Each line on stdin is a command, and is answered by a
 * line:
 *	fill		copy BYTES from DEV to anonymous memory
 *	verify		compare all of it with DEV
 *	punch SEED PCT	release a percentage of the pages, which are zero then
 * DEV is read with O_DIRECT, because page cache would be charged to the cgroup.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A multiple of any page, and at least one. */
#define CHUNK (256UL * 1024)

static unsigned char *mem, *buf;
static unsigned char *punched;
static size_t bytes, page_size;
static int dev;

static void die(const char *what)
{
	printf("failed: %s: %s\n", what, strerror(errno));
	exit(2);
}

static size_t chunk_at(size_t at)
{
	size_t len = bytes - at < CHUNK ? bytes - at : CHUNK;

	if (pread(dev, buf, len, at) != (ssize_t)len)
		die("read");
	return len;
}

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static void fill(void)
{
	for (size_t at = 0; at < bytes; at += CHUNK) {
		size_t len = chunk_at(at);

		memcpy(mem + at, buf, len);
	}
	memset(punched, 0, bytes / page_size);
	printf("filled %zu bytes\n", bytes);
}

static void punch(unsigned long long seed, unsigned int percent)
{
	size_t n = 0;

	for (size_t page = 0; page < bytes / page_size; page++) {
		if (punched[page] || mix(seed * 1000003 + page) % 100 >= percent)
			continue;
		if (madvise(mem + page * page_size, page_size, MADV_DONTNEED))
			die("madvise");
		punched[page] = 1;
		n++;
	}
	printf("punched %zu pages\n", n);
}

static int verify(void)
{
	static const unsigned char zeros[CHUNK];
	size_t wrong = 0, first = 0, first_byte = 0;

	for (size_t at = 0; at < bytes; at += CHUNK) {
		size_t len = chunk_at(at);

		for (size_t off = 0; off < len; off += page_size) {
			size_t page = (at + off) / page_size, i = 0;
			const unsigned char *want = punched[page] ? zeros : buf + off;

			if (!memcmp(want, mem + at + off, page_size))
				continue;
			while (i < page_size - 1 && want[i] == mem[at + off + i])
				i++;
			if (!wrong++) {
				first = page;
				first_byte = i;
			}
		}
	}
	if (wrong) {
		printf("DIFFERS: %zu of %zu pages, first page %zu byte %zu\n", wrong,
		       bytes / page_size, first, first_byte);
		return 1;
	}
	printf("verified %zu bytes\n", bytes);
	return 0;
}

int main(int argc, char **argv)
{
	char line[128];
	int wrong = 0;

	if (argc != 3) {
		fprintf(stderr, "usage: zs_hog DEV BYTES\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	page_size = sysconf(_SC_PAGESIZE);
	bytes = strtoull(argv[2], NULL, 0) & ~(page_size - 1);
	dev = open(argv[1], O_RDONLY | O_DIRECT);
	if (dev < 0)
		die(argv[1]);
	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	punched = calloc(bytes / page_size, 1);
	if (mem == MAP_FAILED || !punched || posix_memalign((void **)&buf, page_size, CHUNK))
		die("memory");
	madvise(mem, bytes, MADV_NOHUGEPAGE);

	while (fgets(line, sizeof(line), stdin)) {
		unsigned long long seed;
		unsigned int percent;

		if (!strcmp(line, "fill\n"))
			fill();
		else if (!strcmp(line, "verify\n"))
			wrong |= verify();
		else if (sscanf(line, "punch %llu %u", &seed, &percent) == 2)
			punch(seed, percent);
		else
			printf("failed: no such command: %s", line);
	}
	return wrong;
}
