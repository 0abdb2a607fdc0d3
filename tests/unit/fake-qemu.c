/*
 * A stand-in for QEMU, for the tests of the engine that drives it: it plays
 * $FAKE_QEMU on its monitor, steps separated by ';':
 *
 *   greet      sends the greeting
 *   take       reads a command and answers it; "take WORD": only that command
 *   refuse     reads a command and refuses it
 *   say TEXT   sends a line
 *   flood      sends 1 MiB without a newline
 *   close      closes the monitor
 *   exit N     ends with status N;  at the script's end it waits to be killed
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

static int monitor = -1;

static void say(const char *line)
{
	if (write_all(monitor, line, strlen(line)) < 0 || write_all(monitor, "\n", 1) < 0)
		_exit(90);
}

static void take(const char *wanted)
{
	char line[256] = "";
	size_t n = 0;

	while (n < sizeof(line) - 1 && read(monitor, &line[n], 1) == 1 && line[n] != '\n')
		n++;
	if (!strstr(line, wanted))
		_exit(91);
}

static void flood(void)
{
	static char bytes[1 << 20];

	memset(bytes, ' ', sizeof(bytes));
	(void)!write_all(monitor, bytes, sizeof(bytes));
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
	else if (strcmp(step, "flood") == 0)
		flood();
	else if (strcmp(step, "close") == 0)
		(void)close(monitor);
	else if (strncmp(step, "exit ", 5) == 0)
		_exit(atoi(step + 5));
	else
		_exit(92);
}

int main(int argc, char **argv)
{
	const char *script = getenv("FAKE_QEMU");
	char *steps = strdup(script ? script : ""), *rest = NULL;

	for (int i = 1; i < argc; i++)
		(void)sscanf(argv[i], "socket,id=monitor,fd=%d", &monitor);
	for (char *step = strtok_r(steps, ";", &rest); step; step = strtok_r(NULL, ";", &rest))
		play(step);
	for (;;)
		(void)pause();
}
