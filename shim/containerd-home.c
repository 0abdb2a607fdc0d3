/* SPDX-License-Identifier: Apache-2.0 */
/* Where a sandbox lives on the host, for containerd: see containerd.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Only the few lines of SHA-256 get into a static program this way; EVP would
 * bring the whole library. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include "base/alloc.h"
#include "base/hex.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "host/cgroup-place.h"
#include "runtime-spec/spec.h"
#include "shim/containerd.h"

#define SOCKETS "/run/containerd/s"
/* containerd checks no length, the kernel does: sun_path. */
#define ADDRESS_MAX 256

/* The first of these that a bundle has names the group (containerd
 * pkg/shim, runtime/v2/runc/manager "groupLabels"). */
static const char *const group_annotations[] = {
	"io.containerd.runc.v2.group",
	"io.kubernetes.cri.sandbox-id",
};

/* A config.json that cannot be read has no group; Create will say what is wrong
 * with it, and "delete" must go on without. */
static char *find_group(const char *id, const char *bundle)
{
	_cleanup_free_ char *path = xasprintf("%s/config.json", bundle);
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root, annotations;
	char *group = NULL;
	size_t size;

	if (read_file(path, SPEC_SIZE_MAX, &text, &size, NULL) < 0 ||
	    json_parse(text, size, path, &value, NULL) < 0)
		return xstrdup(id);
	root = json_root(value);
	if (json_object(&root, "annotations", JSON_REQUIRED, &annotations, NULL) < 0)
		return xstrdup(id);
	for (size_t i = 0; !group && i < ARRAY_SIZE(group_annotations); i++)
		(void)json_get_string(&annotations, group_annotations[i], JSON_OPTIONAL, &group,
				      NULL);
	if (group && group[0] != '\0')
		return group;
	free(group);
	return xstrdup(id);
}

static char *hash(const struct containerd *containerd, const char *group)
{
	_cleanup_free_ char *text =
	    xasprintf("%s/%s/%s", containerd->address, containerd->namespace, group);
	uint8_t digest[SHA256_DIGEST_LENGTH];
	SHA256_CTX context;

	(void)SHA256_Init(&context);
	(void)SHA256_Update(&context, text, strlen(text));
	(void)SHA256_Final(digest, &context);
	return hex_encode(digest, sizeof(digest));
}

/* The socket that BUNDLE/address names, or NULL. */
static char *read_address(const char *bundle)
{
	_cleanup_free_ char *path = xasprintf("%s/address", bundle);
	_cleanup_free_ char *text = NULL;
	size_t scheme = strlen(ADDRESS_SCHEME);

	if (read_file(path, ADDRESS_MAX, &text, NULL, NULL) < 0)
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	if (strncmp(text, ADDRESS_SCHEME "/", scheme + 1) != 0)
		return NULL;
	return xstrdup(text + scheme);
}

void home_find(const struct containerd *containerd, const char *bundle, const char *sockets,
	       struct home *ret_home)
{
	ret_home->group = find_group(containerd->id, bundle);
	ret_home->socket = read_address(bundle);
	if (!ret_home->socket) {
		_cleanup_free_ char *name = hash(containerd, ret_home->group);

		ret_home->socket =
		    xasprintf("%s/%s", sockets && sockets[0] ? sockets : SOCKETS, name);
	}
	ret_home->directory = home_directory(ret_home->socket);
}

char *home_directory(const char *socket)
{
	return xasprintf("%s.d", socket);
}

void home_done(struct home *home)
{
	free(home->group);
	free(home->socket);
	free(home->directory);
}

/* The shim of runc makes the directory of the sockets with mode 0600 (containerd 1.6,
 * pkg/shim/util_unix.go): root can use it even so, but not a VMM, which has given its
 * capabilities up. */
static int make_home(const char *directory, struct error **ret_error)
{
	_cleanup_free_ char *sockets =
	    xstrndup(directory, (size_t)(strrchr(directory, '/') - directory));
	struct stat st;

	if (make_directories(directory, 0700, ret_error) < 0)
		return -1;
	if (stat(sockets, &st) < 0 ||
	    (!(st.st_mode & S_IXUSR) && chmod(sockets, (st.st_mode & 07777) | S_IXUSR) < 0))
		return error_set_errno(ret_error, errno, "cannot make %s searchable", sockets);
	return 0;
}

/* One who waited for the lock may find that the directory was removed meanwhile. */
int home_lock(const char *directory, int *ret_fd, struct error **ret_error)
{
	for (;;) {
		_cleanup_close_ int fd = -1;
		struct stat held, named;

		if (make_home(directory, ret_error) < 0)
			return -1;
		fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 || (flock(fd, LOCK_EX) < 0 && errno != EINTR))
			return error_set_errno(ret_error, errno, "cannot lock %s", directory);
		if (fstat(fd, &held) < 0 || stat(directory, &named) < 0 ||
		    held.st_dev != named.st_dev || held.st_ino != named.st_ino)
			continue;
		*ret_fd = TAKE_FD(fd);
		return 0;
	}
}

int home_remove(const char *socket, struct error **ret_error)
{
	_cleanup_free_ char *directory = home_directory(socket);
	_cleanup_free_ char *cgroup = xasprintf("%s/" CGROUP_NOTE, directory);
	_cleanup_error_ struct error *error = NULL;

	/* What stays is in use by others. */
	if (cgroup_place_remove(cgroup, &error) < 0)
		log_warning("%s", error->message);
	if (unlink(socket) < 0 && errno != ENOENT)
		return error_set_errno(ret_error, errno, "cannot remove %s", socket);
	return remove_tree(directory, ret_error);
}
