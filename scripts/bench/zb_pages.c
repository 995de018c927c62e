// SPDX-License-Identifier: GPL-2.0
/*
 * Writes, reads and discards pages of a block device, one request each, and times
 * the requests. Which page of data each page of the device has is in a file, so
 * that a later call can go on, and check every byte.
 *
 *	zb_pages DEVICE DATA STATE write n=N seed=S	N pages where nothing is yet
 *	zb_pages DEVICE DATA STATE overwrite n=N seed=S	N others at random
 *	zb_pages DEVICE DATA STATE discard keep=P seed=S	all but P percent, at random
 *	zb_pages DEVICE DATA STATE read n=N seed=S	N pages at random; checks them
 *	zb_pages DEVICE DATA STATE verify		checks all pages
 *
 * Prints ops=N ns=T loop_ns=L: the requests, their time, and the clock's own. The
 * device is accessed with O_DIRECT, so that each request reaches it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL

static const unsigned char *data;
static uint64_t nr_data;
static uint32_t *state;		/* of each page of the device: 1 + page of data, 0: none */
static uint64_t nr_pages;
static unsigned char *buffer;
static int device;

static void die(const char *what)
{
	fprintf(stderr, "zb_pages: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t random_state;

static uint64_t below(uint64_t n)
{
	uint64_t x = random_state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return (x ^ (x >> 31)) % n;
}

/* Time of this task. Other tasks do not count, such as compaction in the background. */
static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void *map_file(const char *path, int mode, int protection, uint64_t *pages, size_t unit)
{
	struct stat st;
	void *at;
	int fd = open(path, mode);

	if (fd < 0 || fstat(fd, &st))
		die(path);
	at = mmap(NULL, st.st_size, protection, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		die(path);
	*pages = st.st_size / unit;
	return at;
}

static uint64_t argument(char **words, const char *key, uint64_t otherwise)
{
	size_t len = strlen(key);

	for (; *words; words++)
		if (!strncmp(*words, key, len) && (*words)[len] == '=')
			return strtoull(*words + len + 1, NULL, 0);
	return otherwise;
}

/* The pages of the device that have data, or those that have none, in order. */
static uint64_t list(uint32_t *pages, int with_data)
{
	uint64_t i, n = 0;

	for (i = 0; i < nr_pages; i++)
		if (!state[i] == !with_data)
			pages[n++] = i;
	return n;
}

static void shuffle(uint32_t *pages, uint64_t n)
{
	while (n > 1) {
		uint64_t other = below(n--);
		uint32_t page = pages[n];

		pages[n] = pages[other];
		pages[other] = page;
	}
}

static uint64_t write_page(uint32_t page)
{
	uint32_t from = below(nr_data);
	uint64_t begin;

	memcpy(buffer, data + from * PAGE, PAGE);
	begin = now();
	if (pwrite(device, buffer, PAGE, page * PAGE) != PAGE)
		die("write");
	begin = now() - begin;
	state[page] = 1 + from;
	return begin;
}

static uint64_t discard_page(uint32_t page)
{
	uint64_t range[2] = { page * PAGE, PAGE }, begin = now();

	if (ioctl(device, BLKDISCARD, range))
		die("discard");
	begin = now() - begin;
	state[page] = 0;
	return begin;
}

static uint64_t read_page(uint32_t page)
{
	static const unsigned char zeroes[PAGE];
	uint64_t begin = now();

	if (pread(device, buffer, PAGE, page * PAGE) != PAGE)
		die("read");
	begin = now() - begin;
	if (memcmp(buffer, state[page] ? data + (state[page] - 1) * PAGE : zeroes, PAGE)) {
		fprintf(stderr, "zb_pages: page %u differs\n", page);
		exit(1);
	}
	return begin;
}

int main(int argc, char **argv)
{
	uint64_t (*request)(uint32_t page);
	uint64_t n, wanted, i, ns = 0, loop_ns = 0, begin, keep;
	uint32_t *pages;

	if (argc < 5) {
		fprintf(stderr, "usage: zb_pages DEVICE DATA STATE COMMAND [KEY=VALUE...]\n");
		return 1;
	}
	device = open(argv[1], O_RDWR | O_DIRECT);
	if (device < 0)
		die(argv[1]);
	data = map_file(argv[2], O_RDONLY, PROT_READ, &nr_data, PAGE);
	state = map_file(argv[3], O_RDWR, PROT_READ | PROT_WRITE, &nr_pages, sizeof(*state));
	pages = calloc(nr_pages, sizeof(*pages));
	if (!pages || posix_memalign((void **)&buffer, PAGE, PAGE))
		die("memory");
	memset(buffer, 0, PAGE);
	random_state = argument(argv + 5, "seed", 1) << 32;

	if (!strcmp(argv[4], "verify")) {
		for (i = 0; i < nr_pages; i++)
			read_page(i);
		printf("pages=%llu\n", (unsigned long long)nr_pages);
		return 0;
	}
	n = list(pages, strcmp(argv[4], "write"));
	wanted = argument(argv + 5, "n", n);
	if (!strcmp(argv[4], "write")) {
		request = write_page;
	} else if (!strcmp(argv[4], "overwrite")) {
		request = write_page;
		shuffle(pages, n);
	} else if (!strcmp(argv[4], "read")) {
		request = read_page;
		shuffle(pages, n);
	} else if (!strcmp(argv[4], "discard")) {
		request = discard_page;
		keep = argument(argv + 5, "keep", 0);
		for (i = wanted = 0; i < n; i++)
			if (below(100) >= keep)
				pages[wanted++] = pages[i];
		shuffle(pages, wanted);
	} else {
		fprintf(stderr, "zb_pages: %s?\n", argv[4]);
		return 1;
	}
	if (wanted > n) {
		fprintf(stderr, "zb_pages: there are only %llu pages\n", (unsigned long long)n);
		return 1;
	}
	for (i = 0; i < wanted; i++) {
		begin = now();
		loop_ns += now() - begin;
		ns += request(pages[i]);
	}
	printf("ops=%llu ns=%llu loop_ns=%llu\n", (unsigned long long)wanted,
	       (unsigned long long)ns, (unsigned long long)loop_ns);
	return 0;
}
