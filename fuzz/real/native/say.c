// SPDX-License-Identifier: GPL-2.0-only
/* The console, writes to files of the kernel, and kernel messages. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "init.h"

static int messages = -1;

static void write_all(const char *text, int size)
{
	while (size > 0) {
		int done = write(1, text, size);

		if (done <= 0)
			return;
		text += done;
		size -= done;
	}
}

void say(const char *format, ...)
{
	char line[8192];
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	write_all(line, size < (int)sizeof(line) ? size : (int)sizeof(line) - 1);
}

/* Print the outcome of the current operation. The line has no maximum length: a dirty log may be long. */
void result(const char *status, const char *format, ...)
{
	char head[64], *value;
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vasprintf(&value, format, arguments);
	va_end(arguments);
	if (size < 0) {
		say("# operation %d: no memory for its outcome\n", operation);
		return;
	}
	write_all(head, snprintf(head, sizeof(head), "r %d %s ", operation, status));
	write_all(value, size);
	write_all("\n", 1);
	free(value);
}

/* Report what cannot be created or received: the process of a program, its text, its VMs or slots. No operation can run then. */
void cannot(const char *what, int error)
{
	say("r %d error %d of %s\n", CREATION, error, what);
}

void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		say("# %s: %s: %s\n", path, text, strerror(errno));
	if (fd >= 0)
		close(fd);
}

void open_messages(void)
{
	messages = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (messages >= 0)
		lseek(messages, 0, SEEK_END);
}

/* Print the messages that the kernel has logged since the last call. */
void pass_messages(void)
{
	char record[8192];
	ssize_t size;

	while (messages >= 0) {
		char *text, *end;

		size = read(messages, record, sizeof(record) - 1);
		if (size < 0 && errno == EPIPE)
			/* Messages were lost; the next read() returns the oldest one left. */
			continue;
		if (size <= 0)
			return;
		record[size] = 0;
		text = strchr(record, ';');
		text = text ? text + 1 : record;
		end = strchr(text, '\n');
		if (end)
			*end = 0;
		say("k %d %s\n", operation, text);
	}
}
