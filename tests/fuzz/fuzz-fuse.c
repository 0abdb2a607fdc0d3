/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sequences of FUSE requests to a server that shares a scratch directory, beside
 * which is another that nothing may touch: a link in the first leads there.
 *
 * Input: flags (bit 0 read-only, bits 1 and 2 the cache mode, bit 3 few
 * descriptors), then requests: operation, node (which of those the replies so far
 * have named), how (bit 0: the body begins with an open file's number, bit 1: the
 * length in the header is wrong, bit 2: another user, bits 4 to 7: room for the
 * reply), length of the body (16 bits), the body.
 *
 * One thread serves all inputs: it leaves the working directory, and gets a mount of its own for
 * that, which would cost more than everything else.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "rootfs/share/fuse.h"
#include "tests/fuzz/input.h"

#define KNOWN_MAX 16
#define BODY_MAX 70000
#define FILE_SIZE_MAX (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct session {
	char dir[64];
	struct fuse_server *server;
	struct fuse_thread *thread; /* the serving thread's */
	uint64_t nodes[KNOWN_MAX], handles[KNOWN_MAX];
	unsigned n_nodes, n_handles;
	unsigned n_kept;
};

static void *keep(void *data)
{
	struct session *session = data;

	session->n_kept++;
	return &session->n_kept;
}

static void complete(void *kept, const void *bytes, uint32_t size)
{
	const struct fuse_out_header *header = bytes;

	check(size == sizeof(*header) && header->len == size);
	check(*(unsigned *)kept > 0);
	--*(unsigned *)kept;
}

static void make_path(char *ret_path, size_t size, const char *dir, const char *name)
{
	check((size_t)snprintf(ret_path, size, "%s/%s", dir, name) < size);
}

static void make_tree(struct session *session)
{
	static const char *const directories[] = { "share", "share/d", "outside" };
	char path[128];

	(void)strcpy(session->dir, "/dev/shm/fuzz-fuse-XXXXXX"); /* no disk */
	check(mkdtemp(session->dir) != NULL);
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		make_path(path, sizeof(path), session->dir, directories[i]);
		/* (The umask is what the last request of the input before left.) */
		check(mkdir(path, 0755) == 0 && chmod(path, 0755) == 0);
	}
	make_path(path, sizeof(path), session->dir, "share/l");
	check(symlink("../outside", path) == 0);
	make_path(path, sizeof(path), session->dir, "share/f");
	check(write_file_atomic(path, "text", 4, 0644, NULL) == 0);
}

/* Nothing was made outside, and the three directories are where they were. */
static void check_tree(const struct session *session)
{
	char path[128];
	struct stat st;

	make_path(path, sizeof(path), session->dir, "outside");
	check(stat(path, &st) == 0 && st.st_nlink == 2 && st.st_mode == (S_IFDIR | 0755));
	check(rmdir(path) == 0);
	make_path(path, sizeof(path), session->dir, "share");
	check(stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

static void open_session(struct session *session, uint8_t flags)
{
	struct fuse_options options = { .readonly = flags & 1,
					.cache = (enum fuse_cache)((flags >> 1 & 3) % 3),
					.fds_max = flags & 8 ? 8 : 200,
					.nodes_max = 100,
					.complete = complete };
	_cleanup_close_ int fd = -1;
	char path[128];

	make_tree(session);
	make_path(path, sizeof(path), session->dir, "share");
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	check(fd >= 0);
	options.root_fd = fd;
	check(fuse_server_new(&options, &session->server, NULL) == 0);
	session->nodes[session->n_nodes++] = FUSE_ROOT_ID;
}

static void remember(uint64_t *known, unsigned *n_known, uint64_t id)
{
	known[*n_known % KNOWN_MAX] = id;
	++*n_known;
}

/* What the reply names is what later requests use. */
static void look_at_reply(struct session *session, uint32_t opcode, const char *reply,
			  uint32_t written)
{
	struct fuse_out_header header;
	struct fuse_entry_out entry;
	struct fuse_open_out open;
	const char *body = reply + sizeof(header);

	if (written == 0)
		return;
	check(written >= sizeof(header));
	memcpy(&header, reply, sizeof(header));
	check(header.len == written && header.error <= 0 && header.error > -512);
	check(header.error == 0 || written == sizeof(header));
	switch (written - sizeof(header)) {
	case sizeof(entry) + sizeof(open):
		memcpy(&open, body + sizeof(entry), sizeof(open));
		remember(session->handles, &session->n_handles, open.fh);
		__attribute__((fallthrough));
	case sizeof(entry):
		memcpy(&entry, body, sizeof(entry));
		if (opcode != FUSE_READ && opcode != FUSE_READDIR)
			remember(session->nodes, &session->n_nodes, entry.nodeid);
		break;
	case sizeof(open):
		memcpy(&open, body, sizeof(open));
		if (opcode == FUSE_OPEN || opcode == FUSE_OPENDIR)
			remember(session->handles, &session->n_handles, open.fh);
		break;
	default:
		break;
	}
}

static uint32_t serve(struct session *session, const void *request, uint32_t size, char *reply,
		      uint32_t room)
{
	/* In pieces, each allocated apart, so that one byte too far is seen. */
	uint32_t first = MIN(size, 41U);
	struct iovec out[] = { { xmemdup(request, first), first },
			       { xmemdup((const char *)request + first, size - first),
				 size - first } };
	struct iovec in[] = { { xcalloc(1, room), room } };
	const struct fuse_message message = { .request = out,
					      .n_request = 2,
					      .request_size = size,
					      .reply = in,
					      .n_reply = 1,
					      .reply_size = room,
					      .keep = keep,
					      .data = session };
	uint32_t written = fuse_serve(session->server, session->thread, &message);

	check(written <= room);
	memcpy(reply, in[0].iov_base, written);
	free(out[0].iov_base);
	free(out[1].iov_base);
	free(in[0].iov_base);
	return written;
}

static void one_request(struct session *session, struct input *input)
{
	static const uint32_t rooms[] = { 66000, 66000, 66000, 66000, 4096, 1000, 300, 200,
					  160,	 144,	100,   40,    24,   17,	  16,  0 };
	static char request[sizeof(struct fuse_in_header) + BODY_MAX], reply[66000];
	struct fuse_in_header header = { .opcode = take(input), .unique = 1 };
	uint8_t node = take(input), how = take(input);
	uint32_t length = take(input);

	length = MIN(length | (uint32_t)take(input) << 8, (uint32_t)input->left);
	header.nodeid = node == 0xff ? ~0ULL : session->nodes[node % KNOWN_MAX];
	header.uid = header.gid = how & 4 ? 1000 : 0;
	header.len = (uint32_t)sizeof(header) + length + (how >> 1 & 1);
	memcpy(request, &header, sizeof(header));
	memcpy(request + sizeof(header), input->at, length);
	input->at += length;
	input->left -= length;
	if ((how & 1) && length >= sizeof(uint64_t)) {
		unsigned which = (uint8_t)request[sizeof(header)] % KNOWN_MAX;

		memcpy(request + sizeof(header), &session->handles[which], sizeof(uint64_t));
	}
	look_at_reply(
	    session, header.opcode, reply,
	    serve(session, request, (uint32_t)sizeof(header) + length, reply, rooms[how >> 4]));
}

static void initialize(struct session *session)
{
	struct {
		struct fuse_in_header header;
		struct fuse_init_in in;
	} request = { .header = { .len = sizeof(request), .opcode = FUSE_INIT },
		      .in = { .major = 7, .minor = 38, .flags = UINT32_MAX } };
	char reply[200];

	check(serve(session, &request, sizeof(request), reply, sizeof(reply)) > 0);
}

static void run(struct fuse_thread *thread, struct input *input)
{
	struct session session = { .thread = thread };

	open_session(&session, take(input));
	initialize(&session);
	while (input->left > 0)
		one_request(&session, input);
	fuse_expired(session.server);
	fuse_cancel(session.server);
	check(session.n_kept == 0);
	fuse_server_free(session.server);
	check_tree(&session);
	check(remove_tree(session.dir, NULL) == 0);
}

static sem_t begin, end;
static struct input next;

static void *serve_inputs(void *data)
{
	struct fuse_thread *thread;

	(void)data;
	check(fuse_thread_new(false, &thread, NULL) == 0);
	for (;;) {
		while (sem_wait(&begin) < 0)
			continue;
		run(thread, &next);
		(void)sem_post(&end);
	}
	return NULL;
}

static void start_thread(void)
{
	const struct rlimit limit = { FILE_SIZE_MAX, FILE_SIZE_MAX };
	pthread_t thread;

	log_set_level(LOG_LEVEL_ERROR);
	(void)signal(SIGXFSZ, SIG_IGN);
	check(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	check(sem_init(&begin, 0, 0) == 0 && sem_init(&end, 0, 0) == 0);
	check(pthread_create(&thread, NULL, serve_inputs, NULL) == 0);
	check(pthread_detach(thread) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool started;

	if (!started)
		start_thread();
	started = true;
	next = (struct input){ data, size };
	(void)sem_post(&begin);
	while (sem_wait(&end) < 0)
		continue;
	return 0;
}
