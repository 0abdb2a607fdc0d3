/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stand-in for QEMU, for the tests of the engine that drives it: it plays
 * $FAKE_QEMU on its monitor, steps separated by ';':
 *
 *   greet      sends the greeting
 *   take       reads a command and answers it; "take WORD": only that command.  A
 *              descriptor that comes with it is kept for "state"
 *   refuse     reads a command and refuses it
 *   say TEXT   sends a line
 *   print TEXT writes a line to the guest's console
 *   spam MIB   writes so much to it
 *   complain TEXT  writes a line to stderr
 *   state TEXT writes the machine's state and ends it
 *   incoming   reads the state that it is to take over: it must be $FAKE_STATE
 *   connect    connects to the socket that a netdev's chardev names
 *   flood      sends 1 MiB without a newline
 *   close      closes the monitor
 *   once FILE  makes the file; if it is there already, plays $FAKE_QEMU_ELSE instead
 *   exit N     ends with status N;  at the script's end it waits to be killed
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

static int monitor = -1, console = -1, passed = -1;
static int incoming = -1; /* what "migrate-incoming" names */
static int listener = -1; /* what a netdev's chardev names */

static void say(const char *line)
{
	if (write_all(monitor, line, strlen(line)) < 0 || write_all(monitor, "\n", 1) < 0)
		_exit(90);
}

static size_t receive(char *byte)
{
	int fds[FD_PASS_MAX];
	size_t n_fds;

	if (recv_with_fds(monitor, byte, 1, fds, &n_fds) != 1)
		return 0;
	if (n_fds > 0)
		passed = fds[0];
	return 1;
}

static void take(const char *wanted)
{
	char line[256] = "";
	size_t n = 0;

	while (n < sizeof(line) - 1 && receive(&line[n]) == 1 && line[n] != '\n')
		n++;
	if (!strstr(line, wanted))
		_exit(91);
	(void)sscanf(line, "{\"execute\":\"migrate-incoming\",\"arguments\":{\"uri\":\"fd:%d",
		     &incoming);
}

static void print(const char *line)
{
	if (write_all(console, line, strlen(line)) < 0 || write_all(console, "\r\n", 2) < 0)
		_exit(93);
}

static void spam(int mib)
{
	static char bytes[1 << 20];

	memset(bytes, 'x', sizeof(bytes));
	for (; mib > 0; mib--)
		if (write_all(console, bytes, sizeof(bytes)) < 0)
			_exit(96);
}

static void give_state(const char *text)
{
	if (write_all(passed, text, strlen(text)) < 0 || close(passed) < 0)
		_exit(94);
}

static void take_state(void)
{
	char text[256] = "";

	if (read_all(incoming, text, sizeof(text) - 1) < 0 ||
	    strcmp(text, getenv("FAKE_STATE")) != 0)
		_exit(95);
}

static void connect_netdev(void)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", listener);
	if (unix_connect(path, NULL) < 0)
		_exit(97);
}

static void flood(void)
{
	static char bytes[1 << 20];

	memset(bytes, ' ', sizeof(bytes));
	(void)!write_all(monitor, bytes, sizeof(bytes));
}

static void play_all(const char *script);

static void once(const char *file)
{
	if (open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) >= 0)
		return;
	play_all(getenv("FAKE_QEMU_ELSE"));
	for (;;)
		(void)pause();
}

static void play(const char *step)
{
	if (strcmp(step, "greet") == 0)
		say("{\"QMP\": {\"version\": {}, \"capabilities\": []}}");
	else if (strncmp(step, "take", 4) == 0) {
		take(step[4] ? step + 5 : "");
		say("{\"return\": {}}");
	} else if (strcmp(step, "refuse") == 0) {
		take("");
		say("{\"error\": {\"class\": \"GenericError\", \"desc\": \"not today\"}}");
	} else if (strncmp(step, "say ", 4) == 0)
		say(step + 4);
	else if (strncmp(step, "print ", 6) == 0)
		print(step + 6);
	else if (strncmp(step, "spam ", 5) == 0)
		spam(atoi(step + 5));
	else if (strncmp(step, "complain ", 9) == 0)
		(void)fprintf(stderr, "%s\n", step + 9);
	else if (strncmp(step, "state ", 6) == 0)
		give_state(step + 6);
	else if (strcmp(step, "incoming") == 0)
		take_state();
	else if (strncmp(step, "once ", 5) == 0)
		once(step + 5);
	else if (strcmp(step, "connect") == 0)
		connect_netdev();
	else if (strcmp(step, "flood") == 0)
		flood();
	else if (strcmp(step, "close") == 0)
		(void)close(monitor);
	else if (strncmp(step, "exit ", 5) == 0)
		_exit(atoi(step + 5));
	else
		_exit(92);
}

static void play_all(const char *script)
{
	char *steps = strdup(script ? script : ""), *rest = NULL;

	for (char *step = strtok_r(steps, ";", &rest); step; step = strtok_r(NULL, ";", &rest))
		play(step);
	free(steps);
}

/* What QEMU is to go on from is played by $FAKE_QEMU_RESUMED. */
int main(int argc, char **argv)
{
	const char *script = getenv("FAKE_QEMU");

	for (int i = 1; i < argc; i++) {
		(void)sscanf(argv[i], "socket,id=monitor,fd=%d", &monitor);
		(void)sscanf(argv[i], "socket,id=device0,fd=%d", &console);
		(void)sscanf(argv[i], "null,id=device0,logfile=/dev/fdset/%d,logappend=on",
			     &console);
		(void)sscanf(argv[i], "socket,id=device0,path=/proc/self/fd/%d", &listener);
		if (strcmp(argv[i], "-incoming") == 0)
			script = getenv("FAKE_QEMU_RESUMED");
	}
	play_all(script);
	for (;;)
		(void)pause();
}
