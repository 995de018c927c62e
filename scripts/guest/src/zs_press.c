// SPDX-License-Identifier: GPL-2.0
/*
 * Memory pressure until something reacts.
 *
 *	zs_press FILE FIELD FLOOR_MIB SECONDS
 *
 * Allocate memory in small steps until the number in that field (1, 2, ...) of
 * FILE grows. Pauses while MemFree is below the floor, which must be below the
 * watermark that wakes kswapd and above the one at which allocations fail. Gives
 * up after the given time. Prints the growth and how much memory it allocated.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define STEP (2UL << 20)

static long long field(const char *path, int n)
{
	FILE *f = fopen(path, "r");
	long long v = -1;

	if (!f) {
		perror(path);
		exit(2);
	}
	while (n-- > 0)
		if (fscanf(f, "%lld", &v) != 1)
			exit(2);
	fclose(f);
	return v;
}

static long free_mib(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	char line[128];
	long kib = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemFree: %ld", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib / 1024;
}

int main(int argc, char **argv)
{
	unsigned long taken = 0;
	long floor_mib;
	time_t end;
	long long before, now;

	if (argc != 5) {
		fprintf(stderr, "usage: zs_press FILE FIELD FLOOR_MIB SECONDS\n");
		return 2;
	}
	floor_mib = atol(argv[3]);
	end = time(NULL) + atol(argv[4]);
	before = field(argv[1], atoi(argv[2]));
	do {
		if (free_mib() > floor_mib) {
			/* Populate, instead of a fault per page. */
			void *p = mmap(NULL, STEP, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

			if (p == MAP_FAILED)
				usleep(10000);
			else
				taken += STEP;
		} else {
			usleep(10000);
		}
		now = field(argv[1], atoi(argv[2]));
	} while (now <= before && time(NULL) < end);
	printf("%lld %lu\n", now - before, taken >> 20);
	return now > before ? 0 : 1;
}
