/* SPDX-License-Identifier: Apache-2.0 */
/* Templates on disk (vmm/template.h): what is found, what is not, and what becomes of those
 * that nobody asks for. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "tests/unit/test.h"
#include "vmm/ram.h"
#include "vmm/template.h"

#define PAGE 4096
#define MIB (1 << 20)

static char directory[] = "/tmp/test-vmm-template.XXXXXX";

static struct template_store *open_store(const char *key)
{
	_cleanup_free_ char *head = template_key_head();
	_cleanup_free_ char *whole = xasprintf("%s%s", head, key);
	struct template_store *store = NULL;
	struct error *error = NULL;

	CHECK_OK(template_store_new(directory, whole, &store, &error), &error);
	return store;
}

/* The state of the template found, caller frees; NULL: there is none. */
static char *find(struct template_store *store)
{
	struct template template = TEMPLATE_NONE;
	_cleanup_error_ struct error *error = NULL;
	char *state = NULL;

	if (template_find(store, &template, &error) < 0) {
		CHECK_INT(error->code, ENOENT);
		return NULL;
	}
	CHECK(template.ram_fd >= 0);
	CHECK_OK(read_file_fd(template.state_fd, "state", 100, &state, NULL, &error), &error);
	template_close(&template);
	CHECK(template.ram_fd == -1 && template.state_fd == -1);
	return state;
}

static void publish(struct template_store *store, const char *state)
{
	struct template draft = TEMPLATE_NONE;
	struct error *error = NULL;

	CHECK_OK(template_begin(store, &draft, &error), &error);
	CHECK(write_all(draft.state_fd, state, strlen(state)) == 0);
	template_close(&draft);
	CHECK_OK(template_publish(store, &error), &error);
}

static void make(const char *key, const char *state)
{
	struct template_store *store = open_store(key);
	struct error *error = NULL;

	CHECK_OK(template_lock(store, &error), &error);
	publish(store, state);
	template_store_free(store);
}

static bool is_there(const char *key)
{
	struct template_store *store = open_store(key);
	_cleanup_free_ char *state = find(store);

	template_store_free(store);
	return state != NULL;
}

static void empty(void)
{
	struct error *error = NULL;

	CHECK_OK(remove_tree(directory, &error), &error);
}

static void test_life(void)
{
	struct template_store *store = open_store("a");
	struct template draft = TEMPLATE_NONE;
	struct error *error = NULL;
	char *state;

	CHECK(!find(store));
	CHECK_OK(template_lock(store, &error), &error);
	/* Begun, and given up: nothing of it is left. */
	CHECK_OK(template_begin(store, &draft, &error), &error);
	CHECK(write_all(draft.state_fd, "half", 4) == 0);
	template_close(&draft);
	CHECK(!find(store));
	template_store_free(store);
	CHECK(!is_there("a"));

	make("a", "one");
	store = open_store("a");
	state = find(store);
	CHECK_STRING(state, "one");
	free(state);
	/* Another in its place. */
	CHECK_OK(template_lock(store, &error), &error);
	publish(store, "two");
	state = find(store);
	CHECK_STRING(state, "two");
	free(state);
	template_store_free(store);
	CHECK(!is_there("b"));
	empty();
}

static void change(const char *file, off_t size, time_t age)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_dir_ DIR *dir = opendir(directory);
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
					   { .tv_sec = time(NULL) - age } };
	struct dirent *entry;

	CHECK(dir);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "lock") != 0)
			path = xasprintf("%s/%s/%s", directory, entry->d_name, file);
	CHECK(path && (size < 0 || truncate(path, size) == 0));
	CHECK(utimensat(AT_FDCWD, path, times, 0) == 0);
}

/* One that is old, or has had many clones, gives way to another. */
static void test_renewed(void)
{
	make("a", "one");
	change("state", -1, TEMPLATE_AGE_MAX_S - 60);
	CHECK(is_there("a"));
	change("state", -1, TEMPLATE_AGE_MAX_S + 60);
	CHECK(!is_there("a"));
	make("a", "two");
	CHECK(is_there("a"));
	/* (Of which that was one.) */
	change("clones", TEMPLATE_CLONES_MAX - 1, 0);
	CHECK(is_there("a"));
	CHECK(!is_there("a"));
	make("a", "three");
	CHECK(is_there("a"));
	empty();
}

static void test_refused(void)
{
	struct template_store *store = open_store("a");
	struct template template = TEMPLATE_NONE;
	struct error *error = NULL;

	CHECK_OK(template_lock(store, &error), &error);
	publish(store, "one");
	CHECK_OK(template_refuse(store, "it is no good", &error), &error);
	CHECK(template_find(store, &template, &error) < 0);
	CHECK_INT(error->code, EOPNOTSUPP);
	CHECK_STRING(error->message, "it is no good");
	error_free(error);
	template_store_free(store);
	CHECK(!is_there("b"));
	empty();
}

/* What is at a key's place, but is not the key's, or not whole. */
static void test_not_whole(void)
{
	_cleanup_free_ char *command = NULL;

	make("a", "");
	CHECK(!is_there("a"));
	make("a", "one");
	CHECK(is_there("a"));
	command = xasprintf("for f in %s/*/key; do echo more >>$f; done", directory);
	CHECK(system(command) == 0);
	CHECK(!is_there("a"));
	make("a", "one");
	free(command);
	command = xasprintf("rm %s/*/ram", directory);
	CHECK(system(command) == 0);
	CHECK(!is_there("a"));
	empty();
}

/* The owner of a lock that was killed had begun a draft. */
static void test_killed(void)
{
	struct error *error = NULL;
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0) {
		struct template_store *store = open_store("a");
		struct template draft;

		if (template_lock(store, NULL) < 0 || template_begin(store, &draft, NULL) < 0)
			_exit(1);
		(void)kill(getpid(), SIGKILL);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	CHECK(!is_there("a"));
	make("a", "one");
	CHECK(is_there("a"));
	CHECK_OK(remove_tree(directory, &error), &error);
}

/* One at a time. */
static void test_lock(void)
{
	struct template_store *store = open_store("a");
	struct error *error = NULL;
	_cleanup_free_ char *path = xasprintf("%s/lock", directory);
	int fd;

	CHECK_OK(template_lock(store, &error), &error);
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK);
	template_store_free(store);
	CHECK(flock(fd, LOCK_EX | LOCK_NB) == 0);
	CHECK(close(fd) == 0);
	empty();
}

/* Of those who wait none tries what has just failed; later ones do. */
static void test_given_up(void)
{
	struct template_store *store = open_store("a");
	struct error *error = NULL;
	int status;
	pid_t pid;

	CHECK_OK(template_lock(store, &error), &error);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		struct template_store *other = open_store("a");

		template_store_free(store); /* or this process would hold the lock as well */
		_exit(template_lock(other, &error) < 0 && error->code == EAGAIN ? 0 : 1);
	}
	(void)usleep(200000);
	template_give_up(store);
	template_store_free(store);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	store = open_store("a");
	CHECK_OK(template_lock(store, &error), &error);
	template_store_free(store);
	empty();
}

/* Of sixteen the one that was not used for longest goes; of another boot or another program,
 * all. */
static void test_sweep(void)
{
	struct template_store *store;
	struct error *error = NULL;
	char key[16];

	CHECK_OK(template_store_new(directory, "another boot", &store, &error), &error);
	CHECK_OK(template_lock(store, &error), &error);
	publish(store, "old");
	template_store_free(store);
	for (int i = 0; i < 16; i++) {
		(void)snprintf(key, sizeof(key), "%d", i);
		make(key, "one");
		(void)usleep(10000);
	}
	CHECK_OK(template_store_new(directory, "another boot", &store, &error), &error);
	CHECK(!find(store));
	template_store_free(store);
	CHECK(is_there("0")); /* is a use */
	make("more", "one");
	CHECK(is_there("0") && !is_there("1") && is_there("2") && is_there("more"));
	empty();
}

static void test_owner(void)
{
	struct template_store *store = NULL;
	struct error *error = NULL;

	CHECK(mkdir(directory, 0700) == 0 && chmod(directory, 0770) == 0);
	CHECK_ERROR(template_store_new(directory, "k", &store, &error), &error,
		    "can be written by others");
	empty();
	CHECK_ERROR(template_store_new("/dev/null/x", "k", &store, &error), &error, "/dev/null");
}

static void put(int fd, off_t page, int n, char value)
{
	char bytes[PAGE];

	memset(bytes, value, sizeof(bytes));
	for (int i = 0; i < n; i++)
		CHECK(pwrite(fd, bytes, PAGE, (page + i) * PAGE) == PAGE);
}

static const struct {
	int page, n;
	char value;
} pages[] = {
	/* one alone, with neighbours that begin in the same chunk; zeroes that were written; more
	 * than a chunk; the last one */
	{ 0, 1, 'a' },	 { 2, 1, 'b' },	  { 5, 3, 0 },	   { 16, 1, 'c' },
	{ 40, 50, 'd' }, { 100, 1, 'e' }, { 255, 1, 'f' },
};

/* Every page that holds something comes back, and no other takes room. */
static void test_ram(void)
{
	char path[] = "/tmp/test-vmm-template.ram.XXXXXX";
	struct error *error = NULL;
	int from, to, file = mkstemp(path);
	char *a = xmalloc(MIB), *b = xmalloc(MIB);
	struct stat st;

	CHECK_OK(ram_file_new(MIB, &from, &error), &error);
	CHECK_OK(ram_file_new(MIB, &to, &error), &error);
	CHECK(ftruncate(from, MIB / 2) < 0); /* it keeps its size */
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		put(from, pages[i].page, pages[i].n, pages[i].value);
	CHECK_OK(template_save_ram(from, file, &error), &error);
	CHECK(fstat(file, &st) == 0 && st.st_size == MIB);
	CHECK(st.st_blocks * 512 <= 60 * PAGE);
	CHECK_OK(template_load_ram(file, to, &error), &error);
	CHECK(pread(from, a, MIB, 0) == MIB && pread(to, b, MIB, 0) == MIB);
	CHECK(memcmp(a, b, MIB) == 0);
	CHECK(ftruncate(file, MIB / 2) == 0);
	CHECK_ERROR(template_load_ram(file, to, &error), &error, "bytes large, not 1048576");
	free(a);
	free(b);
	CHECK(close(from) == 0 && close(to) == 0 && close(file) == 0 && unlink(path) == 0);
}

/* The same of private memory; what was never touched is not touched by it. */
static void test_mapping(void)
{
	char path[] = "/tmp/test-vmm-template.ram.XXXXXX";
	const size_t size = 80 * MIB; /* of which the most is left alone */
	struct error *error = NULL;
	int file = mkstemp(path);
	char *a, *b = xmalloc(MIB);
	struct rusage before, after;
	struct stat st;
	struct ram ram;

	a = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(a != MAP_FAILED && madvise(a, size, MADV_NOHUGEPAGE) == 0);
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		memset(a + size - MIB + pages[i].page * PAGE, pages[i].value,
		       (size_t)pages[i].n * PAGE);
	ram = (struct ram){ .mapping = a,
			    .size = size,
			    .pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC) };
	CHECK(getrusage(RUSAGE_SELF, &before) == 0);
	CHECK_OK(ram_save(&ram, file, &error), &error);
	CHECK(getrusage(RUSAGE_SELF, &after) == 0);
	CHECK(after.ru_minflt - before.ru_minflt < 1000);
	CHECK(fstat(file, &st) == 0 && st.st_size == (off_t)size);
	/* By chunks of 16 pages, of which 8 hold something. */
	CHECK(st.st_blocks * 512 <= (8 * 16 + 2) * PAGE);
	CHECK(pread(file, b, MIB, (off_t)(size - MIB)) == MIB);
	CHECK(memcmp(a + size - MIB, b, MIB) == 0);
	ram_unmap(&ram);
	CHECK(close(file) == 0 && unlink(path) == 0);
	free(b);
}

/* ---- the pages that a start writes ---- */

/* A file of memory, of which every page but those of the last chunk holds something, mapped. */
static void map_template(int *ret_file, struct ram *ret_ram)
{
	char path[] = "/tmp/test-vmm-template.ram.XXXXXX";
	struct guest_memory memory = { 0 };
	struct error *error = NULL;
	const char byte = 'm';
	int file = mkstemp(path);

	CHECK(file >= 0 && unlink(path) == 0 && ftruncate(file, 4 * MIB) == 0);
	for (off_t at = 0; at < (off_t)(4 * MIB - RAM_CHUNK_SIZE); at += PAGE)
		CHECK(pwrite(file, &byte, 1, at) == 1);
	CHECK_OK(ram_map_file(4 * MIB, 0, file, &memory, ret_ram, &error), &error);
	*ret_file = file;
}

/* Is the page this mapping's own, by now? */
static bool is_own(const struct ram *ram, size_t page)
{
	const off_t at = (off_t)(((uintptr_t)ram->mapping / PAGE + page) * sizeof(uint64_t));
	uint64_t entry;

	CHECK(pread(ram->pagemap_fd, &entry, sizeof(entry), at) == sizeof(entry));
	return (entry >> 63 & 1) && !(entry >> 61 & 1);
}

static void test_written(void)
{
	static const size_t touched[] = { 0, 3, 4, 5, 511, 700, 1023 };
	struct error *error = NULL;
	struct ram one, other;
	int note = memfd_create("note", MFD_CLOEXEC), file, same;
	size_t n = 0, n_own = 0;
	volatile char *bytes;

	map_template(&file, &one);
	bytes = one.mapping;
	for (size_t i = 0; i < ARRAY_SIZE(touched); i++)
		bytes[touched[i] * PAGE + 1] = 'x';
	/* Those that are only read stay the file's. */
	CHECK(bytes[100 * PAGE] == 'm');
	CHECK_OK(ram_note_written(&one, note, &error), &error);

	map_template(&same, &other);
	CHECK(lseek(note, 0, SEEK_SET) == 0);
	CHECK_OK(ram_bring_written(&other, note, &n, &error), &error);
	/* The last one is in no chunk of the file's. */
	CHECK_INT(n, ARRAY_SIZE(touched) - 1);
	for (size_t page = 0; page < 4 * MIB / PAGE; page++)
		n_own += is_own(&other, page);
	CHECK_INT(n_own, n);
	for (size_t i = 0; i < n; i++) {
		const char *page = (char *)other.mapping + touched[i] * PAGE;

		CHECK(is_own(&other, touched[i]) && page[0] == 'm' && page[1] == 0);
	}
	ram_unmap(&one);
	ram_unmap(&other);
	CHECK(close(note) == 0 && close(file) == 0 && close(same) == 0);
}

/* What is noted once is looked at again: is it still what starts write? */
static void test_written_wrong(void)
{
	int file;
	struct ram ram;

	map_template(&file, &ram);
	CHECK_INT(ram_count_written(&ram), 0);
	((volatile char *)ram.mapping)[7 * PAGE] = 'x';
	((volatile char *)ram.mapping)[9 * PAGE] = 'x';
	CHECK_INT(ram_count_written(&ram), 2);
	ram_unmap(&ram);
	CHECK(close(file) == 0);
	CHECK(!ram_written_is_wrong(0, 0));
	CHECK(!ram_written_is_wrong(0, 64) && ram_written_is_wrong(0, 65));
	CHECK(!ram_written_is_wrong(1600, 2064) && ram_written_is_wrong(1600, 2065));
	CHECK(!ram_written_is_wrong(1600, 900));
}

/* What the file says is another guest's word. */
static void test_written_badly(void)
{
	static const struct {
		uint32_t n_stretches, n_pages, stretches[4];
		size_t size;
		const char *message;
	} notes[] = {
		{ 1, 1, { 0, 1 }, 0, "not a list" },
		{ 1, 1, { 0, 1 }, 15, "not a list" },
		{ 1, 1, { 0, 1 }, 16, "not a list" },
		{ 1, 1, { 0, 1 }, 23, "not a list" },
		{ 1, 1, { 0, 1 }, 32, "not a list" },
		{ UINT32_MAX, 1, { 0, 1 }, 24, "not a list" },
		{ 1, 1, { 1024, 1 }, 24, "stretch 0 of the written pages is not within" },
		{ 1, 1, { UINT32_MAX, 1 }, 24, "stretch 0" },
		{ 1, UINT32_MAX, { 1, UINT32_MAX }, 24, "stretch 0" },
		{ 1, 0, { 1, 0 }, 24, "stretch 0" },
		{ 2, 4, { 4, 2, 5, 2 }, 32, "stretch 1" },
		{ 2, 2, { 4, 1, 2, 1 }, 32, "stretch 1" },
		{ 2, 3, { 4, 1, 5, 1 }, 32, "2 written pages, not 3" },
	};
	struct error *error = NULL;
	struct ram ram;
	int file;

	map_template(&file, &ram);
	for (size_t i = 0; i < ARRAY_SIZE(notes); i++) {
		int note = memfd_create("note", MFD_CLOEXEC);
		char bytes[32] = "written1";
		size_t n;

		memcpy(bytes + 8, &notes[i].n_stretches, 24);
		CHECK(write(note, bytes, notes[i].size) == (ssize_t)notes[i].size);
		CHECK(lseek(note, 0, SEEK_SET) == 0);
		CHECK(ram_bring_written(&ram, note, &n, &error) < 0);
		CHECK_INT(error->code, EBADMSG);
		CHECK(strstr(error->message, notes[i].message));
		error_free(TAKE_PTR(error));
		CHECK(ftruncate(note, 1 << 20) == 0 && lseek(note, 0, SEEK_SET) == 0);
		CHECK(ram_bring_written(&ram, note, &n, &error) < 0);
		CHECK_INT(error->code, EBADMSG);
		error_free(TAKE_PTR(error));
		CHECK(close(note) == 0);
	}
	for (size_t page = 0; page < 4 * MIB / PAGE; page++)
		CHECK(!is_own(&ram, page));
	ram_unmap(&ram);
	CHECK(close(file) == 0);
}

/* A guest that has written too much tells nothing. */
static void test_written_too_much(void)
{
	char path[] = "/tmp/test-vmm-template.ram.XXXXXX";
	const size_t size = (RAM_WRITTEN_MAX + 16) * PAGE;
	struct guest_memory memory = { 0 };
	struct error *error = NULL;
	int file = mkstemp(path), note = memfd_create("note", MFD_CLOEXEC);
	char *bytes = xmalloc(size);
	size_t n = 1;
	struct ram ram;

	memset(bytes, 1, size);
	CHECK(unlink(path) == 0 && write(file, bytes, size) == (ssize_t)size);
	CHECK_OK(ram_map_file(size, 0, file, &memory, &ram, &error), &error);
	memset(ram.mapping, 2, size);
	CHECK_OK(ram_note_written(&ram, note, &error), &error);
	CHECK(lseek(note, 0, SEEK_END) == 16 && lseek(note, 0, SEEK_SET) == 0);
	CHECK_OK(ram_bring_written(&ram, note, &n, &error), &error);
	CHECK_INT(n, 0);
	ram_unmap(&ram);
	free(bytes);
	CHECK(close(file) == 0 && close(note) == 0);
}

static const struct test_case cases[] = {
	{ "life", test_life },
	{ "renewed", test_renewed },
	{ "refused", test_refused },
	{ "not whole", test_not_whole },
	{ "killed", test_killed },
	{ "lock", test_lock },
	{ "given up", test_given_up },
	{ "sweep", test_sweep },
	{ "owner", test_owner },
	{ "ram", test_ram },
	{ "mapping", test_mapping },
	{ "written", test_written },
	{ "written wrong", test_written_wrong },
	{ "written badly", test_written_badly },
	{ "written too much", test_written_too_much },
};

int main(int argc, char **argv)
{
	CHECK(mkdtemp(directory) && rmdir(directory) == 0);
	return test_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
