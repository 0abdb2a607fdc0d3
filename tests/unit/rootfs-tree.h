/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of rootfs/: a place to work in, trees, and comparing a tree
 * with its image as the kernel shows it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/*
 * Runs body in a process with a mount namespace of its own, in an empty
 * directory that is its working directory and is removed afterwards, whatever
 * happened. Ends the case with the body's status. Skips where not root.
 */
void in_workspace(void (*body)(void));

/* Everything here ends the test on failure. Paths are relative or not. */
void make_file(const char *path, const void *bytes, size_t size, mode_t mode);
void make_text(const char *path, const char *text);
void make_directory(const char *path, mode_t mode);
void run_command(const char *const *argv); /* must exit with 0 */
#define RUN(...) run_command((const char *const[]){ __VA_ARGS__, NULL })
void fill_random(void *bytes, size_t size, unsigned seed);

/* Image at path → mounted at `at` (made). */
void mount_image(const char *path, const char *at);
/* The tree at `image` is the one at `tree`, in every field squashfs has;
 * names in `left_out` (NULL-terminated) are not looked into. */
void check_same_tree(const char *tree, const char *image, const char *const *left_out);

/* The image of `tree` in the cache directory "cache"; caller frees. */
char *get_image(const char *tree);
/* Entries of a directory whose names end so. */
int count_entries(const char *path, const char *suffix);
int count_fds(void);
