// SPDX-License-Identifier: GPL-2.0
/*
 * zram_sizes DATA BYTES: what zram0 stores for each page of a file.
 *
 * Writes the pages one by one to the first page of zram0 and looks at how
 * mm_stat changes. Prints SIZE=COUNT words, and same=COUNT for the pages that
 * hold one word all over, which zram does not store.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PAGE 4096

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* The second and the sixth number: bytes stored, pages not stored. */
static void look(int fd, long *bytes, long *same)
{
	char text[256];
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);

	if (len <= 0)
		die("mm_stat");
	text[len] = '\0';
	if (sscanf(text, "%*d %ld %*d %*d %*d %ld", bytes, same) != 2)
		die("mm_stat");
}

int main(int argc, char **argv)
{
	static long counts[PAGE + 1];
	long bytes, same, sames = 0, left;
	int data, zram, stat, i;
	void *page;

	if (argc != 3)
		return 2;
	data = open(argv[1], O_RDONLY);
	zram = open("/dev/zram0", O_RDWR | O_DIRECT);
	stat = open("/sys/block/zram0/mm_stat", O_RDONLY);
	if (data < 0 || zram < 0 || stat < 0 || posix_memalign(&page, PAGE, PAGE))
		die("open");
	for (left = atol(argv[2]); left > 0; left -= PAGE) {
		if (read(data, page, PAGE) != PAGE)
			die("read");
		if (pwrite(zram, page, PAGE, 0) != PAGE)
			die("write");
		look(stat, &bytes, &same);
		if (same)
			sames++;
		else if (bytes > 0 && bytes <= PAGE)
			counts[bytes]++;
		else
			return 1;
	}
	for (i = 1; i <= PAGE; i++)
		if (counts[i])
			printf("%d=%ld ", i, counts[i]);
	printf("same=%ld\n", sames);
	return 0;
}
