/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over its corpus, as a test: each file of CORPUS (below
 * $srcdir), or those named on the command line.  Nothing of it where libFuzzer has the main().
 */
#ifndef LIBFUZZER
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"

#define INPUT_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *bytes = NULL;
	_cleanup_free_ uint8_t *exact = NULL;
	size_t size;

	if (read_file(path, INPUT_MAX, &bytes, &size, &error) < 0) {
		printf("%s\n", error->message);
		return -1;
	}
	/* Shown before it runs, since it may be the last; and without the byte that
	 * read_file() puts at the end, so that a sanitizer sees one step too far. */
	printf("%s\n", path);
	(void)fflush(stdout);
	exact = xmemdup(bytes, size);
	(void)LLVMFuzzerTestOneInput(exact, size);
	return 0;
}

static int replay_corpus(void)
{
	const char *srcdir = getenv("srcdir");
	_cleanup_free_ char *corpus = xasprintf("%s/%s", srcdir ? srcdir : ".", CORPUS);
	_cleanup_dir_ DIR *dir = opendir(corpus);
	struct dirent *entry;
	int n = 0;

	if (!dir) {
		printf("cannot open %s: %s\n", corpus, strerror(errno));
		return -1;
	}
	while ((entry = readdir(dir))) {
		_cleanup_free_ char *path = xasprintf("%s/%s", corpus, entry->d_name);

		if (entry->d_name[0] == '.')
			continue;
		if (replay(path) < 0)
			return -1;
		n++;
	}
	printf("%d inputs\n", n);
	return n > 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
	if (argc == 1)
		return replay_corpus() < 0;
	for (int i = 1; i < argc; i++)
		if (replay(argv[i]) < 0)
			return 1;
	return 0;
}
#endif
