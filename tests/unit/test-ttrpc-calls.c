/* ttrpc: whole calls, from our clients to our server. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/unit/test.h"
#include "tests/unit/ttrpc-service.h"

/* One synchronous call with id, stdin and descriptors. */
static int call_sync(int fd, const char *method, const char *id, const char *text, const int *fds,
		     size_t n_fds, uint64_t timeout_ms, Task__StateResponse **ret_state,
		     struct error **ret_error)
{
	Task__ExecProcessRequest request = TASK__EXEC_PROCESS_REQUEST__INIT;
	ProtobufCMessage *response;

	request.id = (char *)id;
	request.stdin = (char *)text;
	if (ttrpc_call_sync(fd, TEST_SERVICE, method, &request.base, fds, n_fds,
			    &task__state_response__descriptor, timeout_ms, &response,
			    ret_error) < 0)
		return -1;
	*ret_state = (Task__StateResponse *)response;
	return 0;
}

static void test_sync(void)
{
	struct test_server server;
	struct error *error = NULL;
	Task__StateResponse *state = NULL;
	int fd;

	test_server_start(&server);
	fd = test_server_connect(&server);
	for (int i = 0; i < 3; i++) {
		CHECK_OK(call_sync(fd, "Echo", "one", "text", NULL, 0, 10000, &state, &error),
			 &error);
		CHECK_STRING(state->id, "one");
		CHECK_STRING(state->stdin, "text");
		CHECK_STRING(state->bundle, "");
		task__state_response__free_unpacked(state, NULL);
	}
	CHECK(close(fd) == 0);
	test_server_stop(&server);
}

static const struct test_case cases[] = {
	{ "sync", test_sync },
};

TEST_MAIN(cases)
