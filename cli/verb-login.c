/* SPDX-License-Identifier: Apache-2.0 */
/* `login`, `logout`. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "cli/images.h"

#define PASSWORD_MAX 8000

struct login_options {
	const char *user, *password, *authfile, *cert_dir;
	bool password_stdin, insecure;
};

static const struct option_def login_options[] = {
	{ "username", 'u', OPTION_STRING, offsetof(struct login_options, user), "the user's name" },
	{ "password", 'p', OPTION_STRING, offsetof(struct login_options, password),
	  "the password: others may see it in the list of processes" },
	{ "password-stdin", 0, OPTION_FLAG, offsetof(struct login_options, password_stdin),
	  "read the password from the standard input" },
	{ "authfile", 0, OPTION_STRING, offsetof(struct login_options, authfile),
	  "the file to keep it in (default: docker's)" },
	{ "cert-dir", 0, OPTION_STRING, offsetof(struct login_options, cert_dir),
	  "a directory with certificates, as certs.d/HOST has them" },
	{ "insecure", 0, OPTION_FLAG, offsetof(struct login_options, insecure),
	  "take any certificate, and HTTP from a registry without TLS" },
	OPTION_END
};

/* A line of the terminal, without its end; caller frees. */
static char *ask(const char *what, bool hidden)
{
	struct termios old, silent;
	const bool is_terminal = hidden && tcgetattr(STDIN_FILENO, &old) == 0;
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	(void)fprintf(stderr, "%s: ", what);
	if (is_terminal) {
		silent = old;
		silent.c_lflag &= ~(tcflag_t)ECHO;
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	}
	n = getline(&line, &size, stdin);
	if (is_terminal) {
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
		(void)fputc('\n', stderr);
	}
	if (n < 0) {
		free(line);
		return xstrdup("");
	}
	line[strcspn(line, "\r\n")] = '\0';
	return line;
}

static int get_password(const struct login_options *values, char **ret_password,
			struct error **ret_error)
{
	if (values->password) {
		*ret_password = xstrdup(values->password);
		return 0;
	}
	if (!values->password_stdin) {
		*ret_password = ask("Password", true);
		return 0;
	}
	if (read_file_fd(STDIN_FILENO, "the standard input", PASSWORD_MAX, ret_password, NULL,
			 ret_error) < 0)
		return -1;
	(*ret_password)[strcspn(*ret_password, "\r\n")] = '\0';
	return 0;
}

static int run_login(const struct command *command, struct error **ret_error)
{
	const struct login_options *values = command->options;
	const char *host = command->n_args > 0 ? command->args[0] : REFERENCE_HOST_DEFAULT;
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	_cleanup_free_ char *user = NULL, *password = NULL;
	struct images_request request = { .action = "login", .reference = host };

	if (values->password_stdin && values->password)
		return error_set(ret_error, EINVAL,
				 "--password and --password-stdin are mutually exclusive");
	if (values->password_stdin && !values->user)
		return error_set(ret_error, EINVAL, "--password-stdin needs --username");
	user = values->user ? xstrdup(values->user) : ask("Username", false);
	if (get_password(values, &password, ret_error) < 0)
		return -1;
	request.options = (struct pull_options){ .user = user,
						 .password = password,
						 .authfile = values->authfile,
						 .cert_dir = values->cert_dir,
						 .insecure = values->insecure };
	if (image_verb_open(command, &store, ret_error) < 0 ||
	    images_do(store, &request, NULL, ret_error) < 0)
		return -1;
	printf("Login Succeeded\n");
	return 0;
}

const struct verb verb_login = {
	.name = "login",
	.arguments = "[registry]",
	.summary = "keep a user's name and password for a registry",
	.description = "The registry, docker.io by default, is asked whether it takes them.",
	.options = login_options,
	.options_size = sizeof(struct login_options),
	.max_args = 1,
	.run = run_login,
};

struct logout_options {
	const char *authfile;
};

static const struct option_def logout_options[] = {
	{ "authfile", 0, OPTION_STRING, offsetof(struct logout_options, authfile),
	  "the file it is kept in (default: docker's)" },
	OPTION_END
};

static int run_logout(const struct command *command, struct error **ret_error)
{
	const struct logout_options *values = command->options;
	const char *host = command->n_args > 0 ? command->args[0] : REFERENCE_HOST_DEFAULT;
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	const struct images_request request = { .action = "logout",
						.reference = host,
						.options = { .authfile = values->authfile } };

	if (image_verb_open(command, &store, ret_error) < 0 ||
	    images_do(store, &request, NULL, ret_error) < 0)
		return -1;
	printf("Removed login credentials for %s\n", host);
	return 0;
}

const struct verb verb_logout = {
	.name = "logout",
	.arguments = "[registry]",
	.summary = "forget a user's name and password for a registry",
	.options = logout_options,
	.options_size = sizeof(struct logout_options),
	.max_args = 1,
	.run = run_logout,
};
