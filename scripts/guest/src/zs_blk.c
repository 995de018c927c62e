// SPDX-License-Identifier: GPL-2.0
/*
 * Known data on a block device or in a file: put it there, change parts of it in a way that
 * can be computed again, and check every byte.
 *
 *	zs_blk copy SRC DST BYTES
 *	zs_blk scatter SRC DST BYTES ROUND
 *	zs_blk verify SRC DST BYTES [ROUND...]
 *
 * A ROUND is seed:discard:overwrite. It discards a percentage of the pages, chosen by
 * the seed, and overwrites another with other pages of SRC. The contents of DST follow
 * from the rounds alone, so no state is kept between calls. DST is accessed with
 * O_DIRECT, so that the page cache is not tested in place of the device.
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
#include <unistd.h>

/* A multiple of any page, and at least one. */
#define CHUNK (256UL * 1024)

enum what { KEEP, DISCARD, OVERWRITE };

struct round {
	uint64_t seed;
	unsigned int discard, overwrite;
};

static const unsigned char *src;
static size_t page_size, pages;

static void die(const char *what)
{
	fprintf(stderr, "zs_blk: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static enum what action(const struct round *r, size_t page)
{
	unsigned int n = mix(r->seed * 1000003 + page) % 100;

	if (n < r->discard)
		return DISCARD;
	if (n < r->discard + r->overwrite)
		return OVERWRITE;
	return KEEP;
}

static const unsigned char *other(const struct round *r, size_t page)
{
	return src + mix(r->seed ^ (page << 20)) % pages * page_size;
}

/* Contents of the page after all rounds. */
static const unsigned char *expected(const struct round *r, int n, size_t page)
{
	static const unsigned char zeros[CHUNK];

	while (n-- > 0) {
		switch (action(&r[n], page)) {
		case DISCARD:
			return zeros;
		case OVERWRITE:
			return other(&r[n], page);
		case KEEP:
			break;
		}
	}
	return src + page * page_size;
}

static struct round parse(const char *s)
{
	struct round r;
	unsigned long long seed;

	if (sscanf(s, "%llu:%u:%u", &seed, &r.discard, &r.overwrite) != 3) {
		fprintf(stderr, "zs_blk: not a round: %s\n", s);
		exit(2);
	}
	r.seed = seed;
	return r;
}

static void write_all(int fd, const void *buf, size_t len, off_t at)
{
	ssize_t n = pwrite(fd, buf, len, at);

	if (n != (ssize_t)len)
		die("write");
}

static void copy(int dst, unsigned char *buf)
{
	size_t bytes = pages * page_size;

	for (size_t at = 0; at < bytes; at += CHUNK) {
		size_t len = bytes - at < CHUNK ? bytes - at : CHUNK;

		memcpy(buf, src + at, len);
		write_all(dst, buf, len, at);
	}
	printf("wrote %zu bytes\n", bytes);
}

static void discard(int dst, size_t page)
{
	uint64_t range[2] = { page * page_size, page_size };
	struct stat st;

	if (fstat(dst, &st))
		die("stat");
	if (S_ISREG(st.st_mode) ?
		    fallocate(dst, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      page * page_size, page_size) :
		    ioctl(dst, BLKDISCARD, range))
		die("discard");
}

static void scatter(int dst, unsigned char *buf, const struct round *r)
{
	size_t discarded = 0, overwritten = 0;

	for (size_t page = 0; page < pages; page++) {
		switch (action(r, page)) {
		case DISCARD:
			discard(dst, page);
			discarded++;
			break;
		case OVERWRITE:
			memcpy(buf, other(r, page), page_size);
			write_all(dst, buf, page_size, page * page_size);
			overwritten++;
			break;
		case KEEP:
			break;
		}
	}
	printf("discarded %zu pages, overwrote %zu\n", discarded, overwritten);
}

static int verify(int dst, unsigned char *buf, const struct round *r, int n)
{
	size_t bytes = pages * page_size, wrong = 0;

	for (size_t at = 0; at < bytes; at += CHUNK) {
		size_t len = bytes - at < CHUNK ? bytes - at : CHUNK;
		ssize_t got = pread(dst, buf, len, at);

		if (got != (ssize_t)len)
			die("read");
		for (size_t off = 0; off < len; off += page_size) {
			size_t page = (at + off) / page_size, i = 0;
			const unsigned char *want = expected(r, n, page);

			if (!memcmp(want, buf + off, page_size))
				continue;
			while (want[i] == buf[off + i])
				i++;
			if (wrong++ < 5)
				printf("DIFFERS: page %zu byte %zu is 0x%02x, should be 0x%02x\n",
				       page, i, buf[off + i], want[i]);
		}
	}
	if (wrong) {
		printf("DIFFERS: %zu of %zu pages\n", wrong, pages);
		return 1;
	}
	printf("verified %zu bytes\n", bytes);
	return 0;
}

int main(int argc, char **argv)
{
	struct round rounds[16];
	unsigned char *buf;
	int fd, dst, n = 0;

	page_size = sysconf(_SC_PAGESIZE);
	if (argc < 5 || argc > 5 + 16) {
		fprintf(stderr, "usage: zs_blk copy|scatter|verify SRC DST BYTES [ROUND...]\n");
		return 2;
	}
	pages = strtoull(argv[4], NULL, 0) / page_size;
	for (int i = 5; i < argc; i++)
		rounds[n++] = parse(argv[i]);

	fd = open(argv[2], O_RDONLY);
	if (fd < 0)
		die(argv[2]);
	src = mmap(NULL, pages * page_size, PROT_READ, MAP_SHARED, fd, 0);
	if (src == MAP_FAILED)
		die("mmap");
	madvise((void *)src, pages * page_size, MADV_SEQUENTIAL);
	dst = open(argv[3], O_RDWR | O_DIRECT);
	if (dst < 0)
		die(argv[3]);
	if (posix_memalign((void **)&buf, page_size, CHUNK))
		die("memory");

	if (!strcmp(argv[1], "copy"))
		copy(dst, buf);
	else if (!strcmp(argv[1], "scatter") && n == 1)
		scatter(dst, buf, rounds);
	else if (!strcmp(argv[1], "verify"))
		return verify(dst, buf, rounds, n);
	else
		return 2;
	return 0;
}
