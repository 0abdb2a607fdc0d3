/* SPDX-License-Identifier: Apache-2.0 */
/* Files loaded into guest memory: see image.h. */
#include "vmm/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"

int image_open(const struct vm_file *file, struct image *ret_image, struct error **ret_error)
{
	_cleanup_free_ char *name =
	    file->path ? xstrdup(file->path) : xasprintf("descriptor %d", file->fd);
	_cleanup_close_ int fd =
	    file->path ? open(file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) : file->fd;
	struct stat st;

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", name);
	if (fstat(fd, &st) < 0)
		return error_set_errno(ret_error, errno, "%s", name);
	if (!S_ISREG(st.st_mode))
		return error_set(ret_error, EINVAL, "%s is not a regular file", name);
	*ret_image = (struct image){
		.name = TAKE_PTR(name),
		.fd = TAKE_FD(fd),
		.size = (uint64_t)st.st_size,
	};
	return 0;
}

void image_close(struct image *image)
{
	if (!image->name)
		return;
	close_fdp(&image->fd);
	free(image->name);
	image->name = NULL;
}

int image_read(const struct image *image, uint64_t offset, void *ret_bytes, uint64_t size,
	       struct error **ret_error)
{
	uint8_t *at = ret_bytes;
	uint64_t end;

	if (checked_add(offset, size, &end) || end > image->size)
		return error_set(ret_error, EINVAL,
				 "%s is truncated: 0x%llx bytes at 0x%llx are past its end at "
				 "0x%llx",
				 image->name, (unsigned long long)size, (unsigned long long)offset,
				 (unsigned long long)image->size);
	while (size > 0) {
		ssize_t n = pread(image->fd, at, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(ret_error, errno, "cannot read %s", image->name);
		if (n == 0)
			return error_set(ret_error, EIO, "%s shrank while it was read",
					 image->name);
		at += n;
		offset += (uint64_t)n;
		size -= (uint64_t)n;
	}
	return 0;
}

int image_load(const struct image *image, uint64_t offset, uint64_t size,
	       const struct guest_memory *memory, gpa_t gpa, struct error **ret_error)
{
	void *at;

	if (size == 0)
		return 0;
	at = mem_at(memory, gpa, size);
	if (!at)
		return error_set(ret_error, ENOMEM,
				 "too little memory to load %s: 0x%llx bytes at 0x%llx",
				 image->name, (unsigned long long)size, (unsigned long long)gpa);
	return image_read(image, offset, at, size, ret_error);
}

int images_open(const struct vm_config *config, struct images *images, struct error **ret_error)
{
	if (image_open(&config->kernel, &images->kernel, ret_error) < 0)
		return error_wrap(ret_error, "kernel");
	for (size_t i = 0; i < config->n_initramfs; i++)
		if (image_open(&config->initramfs[i], &images->initramfs[i], ret_error) < 0)
			return error_wrap(ret_error, "initramfs");
	return 0;
}

void images_close(struct images *images)
{
	image_close(&images->kernel);
	for (size_t i = 0; i < VM_INITRAMFS_MAX; i++)
		image_close(&images->initramfs[i]);
}
