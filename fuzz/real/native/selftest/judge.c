// SPDX-License-Identifier: GPL-2.0-only
/* Judge the outcomes like a kernel selftest. Exit status: 0: all as expected; 1: some differ; 4: skipped. */

#define PASS 0
#define FAIL 1
#define SKIP 4
#define TAINTED "/proc/sys/kernel/tainted"
#define TAINT_WARN 512

static int reported, failed;

void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
}

static void skip(const char *why, const char *what)
{
	printf("ok # SKIP %s %s\n", why, what);
	exit(SKIP);
}

/* Print one line for each operation. An expected value of "" accepts any value. */
void result(const char *status, const char *format, ...)
{
	const struct expectation *wanted = &expectations[operation];
	char *value;
	va_list arguments;
	int good;

	va_start(arguments, format);
	good = vasprintf(&value, format, arguments);
	va_end(arguments);
	if (good < 0)
		skip("no memory for", "an outcome");
	good = !strcmp(status, wanted->status) && (!*wanted->value || !strcmp(value, wanted->value));
	printf("%sok %d %s", good ? "" : "not ", operation + 1, wanted->title);
	if (!good && !strcmp(status, "stuck"))
		printf(" # the vCPU has left the guest %s times without progress", value);
	else if (!good)
		printf(" # %s %s, expected %s %s", status, value, wanted->status, wanted->value);
	printf("\n");
	free(value);
	reported++;
	failed += !good;
}

void cannot(const char *what, int error)
{
	printf("# %s: %s\n", what, strerror(-error));
	skip("this machine cannot make", what);
}

void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		skip("cannot write to", path);
	close(fd);
}

void pass_messages(void)
{
}

int main(void)
{
	long before = number_in(TAINTED, "") & TAINT_WARN, after;
	int count = sizeof(expectations) / sizeof(*expectations);

	setvbuf(stdout, 0, _IOLBF, 0);
	printf("TAP version 13\n1..%d\n", count + 1);
	page_size = sysconf(_SC_PAGESIZE);
	if (page_size != PAGE)
		skip("pages of another size than", "the program has");
	if (access("/dev/kvm", R_OK | W_OK))
		skip("cannot open", "/dev/kvm");
	play(program);
	after = number_in(TAINTED, "") & TAINT_WARN;
	printf("%sok %d the kernel does not warn%s\n", after > before ? "not " : "", count + 1,
	       before ? " # it has warned before" : "");
	if (failed || reported < count || after > before)
		return FAIL;
	if (before && WARNING_IS_EXPECTED)
		skip("the kernel has already warned,", "so a new warning cannot be detected");
	return PASS;
}
