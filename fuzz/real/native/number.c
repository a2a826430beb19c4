// SPDX-License-Identifier: GPL-2.0-only
/* Numbers in files of the kernel. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "init.h"

/* Return the number after a key in a file with lines like "Key: 12"; for an empty key, the file's first number. */
long number_in(const char *path, const char *key)
{
	FILE *file = fopen(path, "re");
	char line[256];
	long value = -1;

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key))) {
			value = strtol(line + strlen(key), 0, 0);
			break;
		}
	if (file)
		fclose(file);
	return value;
}
