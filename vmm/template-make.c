/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and making templates: see template-make.h. */
#include "vmm/template-make.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "protocol/agent.h"

#define CONSOLE_MAX (64u << 10)
#define RECEIVE_SIZE 65536

/* ---- the key ---- */

/* All that the guest is made of, but for the devices that it has yet to see.  NULL: it cannot be
 * told (a host may be short of descriptors); under half a key others would find it. */
static char *make_key(const struct template_recipe *recipe)
{
	const struct vm_config *config = recipe->config;
	_cleanup_free_ char *head = template_key_head();
	_cleanup_free_ char *kernel = template_key_file("kernel", recipe->images->kernel.fd);
	_cleanup_free_ char *key = NULL;

	if (!head || !kernel || !recipe->engine)
		return NULL;
	key = xasprintf("%s%s%scmdline %s\nvcpus %u of %u\nmemory %llu\n", head, recipe->engine,
			kernel, config->cmdline ? config->cmdline : "", config->vcpus,
			vm_config_max_vcpus(config), (unsigned long long)config->memory_mib);
	for (size_t i = 0; i < config->n_initramfs; i++) {
		const int fd = recipe->images->initramfs[i].fd;
		_cleanup_free_ char *file = template_key_file("initramfs", fd);
		_cleanup_free_ char *shorter = key;

		key = file ? xasprintf("%s%s", shorter, file) : NULL;
		if (!key)
			return NULL;
	}
	return TAKE_PTR(key);
}

static int open_store(const struct template_recipe *recipe, struct template_store **ret_store,
		      struct error **ret_error)
{
	_cleanup_free_ char *key = make_key(recipe);

	if (!key)
		return error_set(ret_error, EIO, "cannot tell which files the machine is made of");
	return template_store_new(recipe->config->templates, key, ret_store, ret_error);
}

/* ---- finding or making ---- */

/* Locked. */
static int find_or_make(const struct template_recipe *recipe, struct template_store *store,
			struct template *ret_template, struct error **ret_error)
{
	struct error *error = NULL;
	bool rebooted = true;

	/* Somebody may have made it while we waited. */
	if (template_find(store, ret_template, &error) == 0)
		return 0;
	if (error->code != ENOENT) {
		*ret_error = error;
		return -1;
	}
	log_info("making a template of this machine, for others to start from");
	for (unsigned boots = 0; error && rebooted && boots < AGENT_BOOTS_MAX; boots++) {
		if (boots > 0)
			log_warning("the guest of a template rebooted before it was idle: starting "
				    "it again (%u of at most %d times)",
				    boots, AGENT_BOOTS_MAX - 1);
		error_free(TAKE_PTR(error));
		(void)recipe->make(recipe, store, &rebooted, &error);
	}
	if (!error)
		return template_find(store, ret_template, ret_error);
	if (error->code == EOPNOTSUPP)
		(void)template_refuse(store, error->message, NULL);
	else
		template_give_up(store);
	*ret_error = error;
	return -1;
}

/* -1 in any case. */
static int refuse(struct template_store *store, const char *reason, struct error **ret_error)
{
	if (template_lock(store, ret_error) < 0 || template_refuse(store, reason, ret_error) < 0)
		return -1;
	return error_set(ret_error, EOPNOTSUPP, "%s", reason);
}

int template_get(const struct template_recipe *recipe, struct template *ret_template,
		 struct error **ret_error)
{
	_cleanup_(template_store_freep) struct template_store *store = NULL;
	_cleanup_error_ struct error *error = NULL;

	if (open_store(recipe, &store, ret_error) < 0)
		return -1;
	if (recipe->config->template_failed)
		return refuse(store, "a machine did not resume from it", ret_error);
	if (template_find(store, ret_template, &error) == 0)
		return 0;
	if (error->code != ENOENT) {
		*ret_error = TAKE_PTR(error);
		return -1;
	}
	if (template_lock(store, ret_error) < 0)
		return -1;
	return find_or_make(recipe, store, ret_template, ret_error);
}

void template_discard(const struct template_recipe *recipe)
{
	_cleanup_(template_store_freep) struct template_store *store = NULL;

	if (open_store(recipe, &store, NULL) == 0 && template_lock(store, NULL) == 0)
		template_remove(store);
}

/* ---- the console ---- */

struct template_console {
	struct template_console_events events;
	int fd;
	struct source *source;
	struct buffer text;
	bool idle; /* told so */
};

bool template_receive(int fd, struct buffer *buffer, bool *ret_ended)
{
	ssize_t n = read(fd, buffer_reserve(buffer, RECEIVE_SIZE), RECEIVE_SIZE);

	*ret_ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
	if (n > 0)
		buffer_commit(buffer, (size_t)n);
	return n > 0;
}

/* The line behind the words, if it has come whole. */
static char *line_behind(const char *text, const char *words)
{
	const char *found = strstr(text, words);
	const char *start = found ? found + strlen(words) : NULL;

	return start && start[strcspn(start, "\r\n")] ? xstrndup(start, strcspn(start, "\r\n"))
						      : NULL;
}

static void look_for_words(struct template_console *console)
{
	struct buffer *text = &console->text;
	_cleanup_free_ char *idle = NULL;
	_cleanup_free_ char *refused = NULL;
	_cleanup_free_ char *copy = NULL;

	if (buffer_length(text) > CONSOLE_MAX)
		buffer_consume(text, buffer_length(text) - CONSOLE_MAX);
	copy = xstrndup((const char *)buffer_data(text), buffer_length(text));
	idle = line_behind(copy, TEMPLATE_IDLE);
	refused = line_behind(copy, TEMPLATE_REFUSED);
	if (refused)
		console->events.refused(console->events.data, refused);
	if (!idle || console->idle)
		return;
	console->idle = true;
	console->events.idle(console->events.data);
}

static void on_console(void *data, uint32_t events)
{
	struct template_console *console = data;
	bool ended;

	(void)events;
	if (template_receive(console->fd, &console->text, &ended))
		look_for_words(console);
	if (ended)
		source_clear(&console->source);
}

int template_console_new(struct loop *loop, const struct template_console_events *events,
			 int *ret_output, struct template_console **ret_console,
			 struct error **ret_error)
{
	_cleanup_(template_console_freep) struct template_console *console =
	    xcalloc(1, sizeof(*console));
	_cleanup_close_ int output = -1;

	console->events = *events;
	console->fd = -1;
	if (unix_pair(&console->fd, &output, ret_error) < 0)
		return -1;
	if (set_nonblocking(console->fd, true) < 0)
		return error_set_errno(ret_error, errno, "the guest's console");
	if (loop_add_io(loop, console->fd, EPOLLIN, "template console", on_console, console,
			&console->source, ret_error) < 0)
		return -1;
	*ret_output = TAKE_FD(output);
	*ret_console = TAKE_PTR(console);
	return 0;
}

void template_console_free(struct template_console *console)
{
	if (!console)
		return;
	source_remove(console->source);
	close_fdp(&console->fd);
	buffer_done(&console->text);
	free(console);
}
