// SPDX-License-Identifier: GPL-2.0-only
/* Functions on texts that the C library does not have, or has with another result. */
#include <stdarg.h>
#include "rt.h"

#define TOO_LONG	(-7L)	/* -E2BIG */

/* Copy a text with its end to a place of n bytes; return its length. */
long sized_strscpy(char *to, const char *from, unsigned long n)
{
	unsigned long length;

	if (!n)
		return TOO_LONG;
	length = strnlen(from, n);
	if (length == n) {
		memcpy(to, from, n - 1);
		to[n - 1] = 0;
		return TOO_LONG;
	}
	memcpy(to, from, length + 1);
	return (long)length;
}
ALIAS(strscpy, sized_strscpy)
/* The rest of the place is filled with zeroes. */
long strscpy_pad(char *to, const char *from, unsigned long n)
{
	long length = sized_strscpy(to, from, n);

	if (length >= 0)
		memset(to + length, 0, n - (unsigned long)length);
	return length;
}
unsigned long strlcpy(char *to, const char *from, unsigned long n)
{
	sized_strscpy(to, from, n);
	return strlen(from);
}

/* These return the number of characters that were written. */
int vscnprintf(char *to, unsigned long n, const char *format, va_list values)
{
	int length = vsnprintf(to, n, format, values);

	return (unsigned long)length < n ? length : n ? (int)n - 1 : 0;
}
int scnprintf(char *to, unsigned long n, const char *format, ...)
{
	va_list values;
	int length;

	va_start(values, format);
	length = vscnprintf(to, n, format, values);
	va_end(values);
	return length;
}

/* The first byte that is not c; 0: there is none. */
void *memchr_inv(const void *p, int c, unsigned long n)
{
	const unsigned char *byte = p;

	for (; n--; byte++)
		if (*byte != (unsigned char)c)
			return (void *)byte;
	return 0;
}
