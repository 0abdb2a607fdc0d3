/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image of any tree, as a guest may have left it: names of any bytes, every type, links of both
 * kinds, holes, attributes. It is written, or refused with an error; what was written has as many
 * entries as the tree, and the tree's key does not depend on who asks.
 *
 * Input: rows of a byte (what is made, a nibble; in which directory, a nibble), a name's length,
 * its bytes, and what the kind takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sqfs/dir_reader.h>
#include <sqfs/id_table.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "base/log.h"
#include "rootfs/image/image-parts.h"
#include "tests/fuzz/input.h"

#define DIRECTORIES 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[] = "/dev/shm/fuzz-image-XXXXXX";

struct made {
	int dirs[DIRECTORIES];
	unsigned n_dirs;
	char last[NAME_MAX + 1]; /* the last thing, in last_dir */
	int last_dir;
};

static void remove_directory(void)
{
	(void)remove_tree(directory, NULL);
}

static void take_name(struct input *input, char ret_name[NAME_MAX + 1])
{
	size_t n = MIN((size_t)take(input), input->left);

	memcpy(ret_name, input->at, n);
	ret_name[n] = '\0';
	input->at += n;
	input->left -= n;
	for (char *p = ret_name; *p; p++)
		if (*p == '/')
			*p = '_';
}

static void make_contents(int fd, struct input *input)
{
	uint8_t bytes[300];
	off_t at = 0;

	for (uint8_t n = take(input) & 7; n > 0; n--) {
		uint8_t how = take(input);

		at += (how >> 4) * 40000;
		memset(bytes, take(input), sizeof(bytes));
		(void)!pwrite(fd, bytes, how & 15 ? (how & 15) * 20U : 0, at);
	}
	if (take(input) & 1)
		(void)ftruncate(fd, at + take(input) * 5000);
}

static void add_directory(struct made *made, int dir, const char *name)
{
	int fd;

	if (mkdirat(dir, name, 0755) < 0 || made->n_dirs == DIRECTORIES)
		return;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(fd >= 0);
	made->dirs[made->n_dirs++] = fd;
}

static void add_attribute(int dir, const char *name, struct input *input)
{
	static const char *const names[] = { "user.a",	       "user.b",
					     "trusted.c",      "security.d",
					     "user.long-name", "system.posix_acl_access" };
	_cleanup_free_ char *path = xasprintf("/proc/self/fd/%d/%s", dir, name);
	const char *attribute = names[take(input) % ARRAY_SIZE(names)];
	size_t n = MIN((size_t)take(input), input->left);

	(void)lsetxattr(path, attribute, input->at, n, 0);
	input->at += n;
	input->left -= n;
}

static void change(struct made *made, struct input *input)
{
	struct timespec times[2] = { { 1, 0 }, { 0, 5 } };

	switch (take(input) & 3) {
	case 0:
		(void)fchownat(made->last_dir, made->last, take(input) * 257U, take(input),
			       AT_SYMLINK_NOFOLLOW);
		break;
	case 1:
		(void)fchmodat(made->last_dir, made->last, take(input) << 4 & 07777, 0);
		break;
	case 2:
		times[1].tv_sec = (time_t)take(input) * 30000000 - 100000000;
		(void)utimensat(made->last_dir, made->last, times, AT_SYMLINK_NOFOLLOW);
		break;
	default:
		add_attribute(made->last_dir, made->last, input);
	}
}

static void make_one(struct made *made, struct input *input)
{
	const uint8_t what = take(input);
	const int dir = made->dirs[(what >> 4) % made->n_dirs];
	char name[NAME_MAX + 1];
	_cleanup_close_ int fd = -1;

	if ((what & 15) < 4 && made->last[0]) {
		change(made, input);
		return;
	}
	take_name(input, name);
	switch (what & 15) {
	case 4:
	case 5:
		add_directory(made, dir, name);
		break;
	case 6:
		(void)!symlinkat((const char[]){ 'a', (char)(1 + take(input) % 255), '\0' }, dir,
				 name);
		break;
	case 7:
		(void)mknodat(dir, name, S_IFIFO | 0600, 0);
		break;
	case 8:
		(void)mknodat(dir, name, S_IFCHR | 0600,
			      makedev(take(input) * 17U, take(input) * 9999U));
		break;
	case 9:
	case 10:
		(void)linkat(made->last_dir, made->last, dir, name, 0);
		break;
	default:
		fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
		if (fd >= 0)
			make_contents(fd, input);
	}
	(void)strcpy(made->last, name);
	made->last_dir = dir;
}

static size_t count_nodes(const sqfs_tree_node_t *node)
{
	size_t n = 1;

	for (const sqfs_tree_node_t *child = node->children; child; child = child->next)
		n += count_nodes(child);
	return n;
}

static size_t count_image(int image)
{
	_cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", image);
	sqfs_file_t *file = sqfs_open_file(path, SQFS_FILE_OPEN_READ_ONLY);
	sqfs_compressor_config_t config;
	sqfs_compressor_t *compressor;
	sqfs_dir_reader_t *reader;
	sqfs_id_table_t *ids = sqfs_id_table_create(0);
	sqfs_tree_node_t *root = NULL;
	sqfs_super_t super;
	size_t n;

	check(file && ids && sqfs_super_read(&super, file) == 0);
	check(sqfs_compressor_config_init(&config, super.compression_id, super.block_size,
					  SQFS_COMP_FLAG_UNCOMPRESS) == 0);
	check(sqfs_compressor_create(&config, &compressor) == 0);
	check(sqfs_id_table_read(ids, file, &super, compressor) == 0);
	reader = sqfs_dir_reader_create(&super, compressor, file, 0);
	check(reader && sqfs_dir_reader_get_full_hierarchy(reader, ids, NULL, 0, &root) == 0);
	n = count_nodes(root);
	sqfs_dir_tree_destroy(root);
	sqfs_destroy(reader);
	sqfs_destroy(compressor);
	sqfs_destroy(ids);
	sqfs_destroy(file);
	return n;
}

static void write_image(const char *path)
{
	static const struct tree_id none;
	_cleanup_(tree_freep) struct tree *tree = NULL, *again = NULL;
	_cleanup_error_ struct error *error = NULL;
	_cleanup_close_ int image = memfd_create("fuzz-image", MFD_CLOEXEC);
	char key[TREE_KEY_SIZE], same[TREE_KEY_SIZE];

	check(image >= 0 && tree_scan(path, &none, &tree, NULL) == 0 &&
	      tree_scan(path, &none, &again, NULL) == 0);
	check(tree_key(tree, "salt", key, NULL) == 0 && tree_key(again, "salt", same, NULL) == 0);
	check(strcmp(key, same) == 0);
	if (image_write(tree, image, &error) < 0) {
		check(error->message[0] && error->code != ESTALE);
		return;
	}
	check(count_image(image) == tree->n_nodes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	_cleanup_free_ char *path = NULL;
	struct input input = { data, size };
	struct made made = { .n_dirs = 1 };

	if (!ready)
		check(mkdtemp(directory) && atexit(remove_directory) == 0);
	ready = true;
	log_set_level(LOG_LEVEL_ERROR);
	path = xasprintf("%s/tree", directory);
	check(mkdir(path, 0755) == 0);
	made.dirs[0] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(made.dirs[0] >= 0);
	while (input.left > 0)
		make_one(&made, &input);
	write_image(path);
	while (made.n_dirs > 0)
		(void)close(made.dirs[--made.n_dirs]);
	check(remove_tree(path, NULL) == 0);
	return 0;
}
