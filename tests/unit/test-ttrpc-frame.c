/* SPDX-License-Identifier: Apache-2.0 */
/* ttrpc: the frame codec and decoder, message limits, UTF-8, Any, codes. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "protocol/ttrpc.pb-c.h"
#include "tests/unit/test.h"
#include "ttrpc/any.h"
#include "ttrpc/frame.h"
#include "ttrpc/message.h"
#include "ttrpc/ttrpc.h"

static void test_header(void)
{
	static const uint8_t golden[FRAME_HEADER_SIZE] = { 0x00, 0x01, 0x02, 0x03, 0x80,
							   0x00, 0x00, 0x07, 0x02, 0x05 };
	struct frame_header header = {
		.length = 0x010203, .stream = 0x80000007, .type = FRAME_RESPONSE, .flags = 5
	};
	uint8_t bytes[FRAME_HEADER_SIZE];

	frame_header_encode(&header, bytes);
	CHECK(memcmp(bytes, golden, sizeof(golden)) == 0);
	header = (struct frame_header){ 0 };
	frame_header_decode(golden, &header);
	CHECK_INT(header.length, 0x010203);
	CHECK_INT(header.stream, 0x80000007);
	CHECK_INT(header.type, FRAME_RESPONSE);
	CHECK_INT(header.flags, 5);
}

/* Puts up to n bytes of *bytes in; true when a frame is complete. */
static bool feed(struct frame_decoder *decoder, const uint8_t **bytes, size_t n)
{
	while (n > 0) {
		uint8_t *where;
		size_t size = frame_decoder_want(decoder, &where);

		CHECK(size > 0);
		size = size < n ? size : n;
		memcpy(where, *bytes, size);
		*bytes += size;
		n -= size;
		if (frame_decoder_advance(decoder, size)) {
			CHECK_INT(n, 0);
			return true;
		}
	}
	return false;
}

/* Two frames, cut at each byte of the first. */
static void test_cuts(void)
{
	static const uint8_t wire[] = { 0,   0, 0, 3, 0, 0, 0, 1, 1, 0, 'a', 'b',
					'c', 0, 0, 0, 0, 0, 0, 0, 3, 3, 4 };

	for (size_t cut = 0; cut < 13; cut++) {
		struct frame_decoder decoder = { 0 };
		const uint8_t *at = wire;

		CHECK(frame_decoder_at_boundary(&decoder));
		CHECK(!feed(&decoder, &at, cut));
		CHECK(frame_decoder_at_boundary(&decoder) == (cut == 0));
		CHECK(feed(&decoder, &at, 13 - cut));
		CHECK_INT(decoder.header.stream, 1);
		CHECK_INT(buffer_length(&decoder.payload), 3);
		CHECK(memcmp(buffer_data(&decoder.payload), "abc", 3) == 0);
		frame_decoder_next(&decoder);
		CHECK(frame_decoder_at_boundary(&decoder));
		CHECK(feed(&decoder, &at, 10));
		CHECK_INT(decoder.header.type, FRAME_DATA);
		CHECK_INT(decoder.header.flags, FRAME_NO_DATA);
		CHECK_INT(buffer_length(&decoder.payload), 0);
		frame_decoder_done(&decoder);
	}
}

/* Lets the decoder read `length` bytes of payload; returns the largest memory
 * it held. */
static size_t read_length(struct frame_decoder *decoder, uint32_t length)
{
	struct frame_header header = { .length = length, .stream = 1, .type = FRAME_REQUEST };
	uint8_t bytes[FRAME_HEADER_SIZE];
	const uint8_t *at = bytes;
	size_t most = 0;
	bool complete = false;

	frame_header_encode(&header, bytes);
	CHECK(!feed(decoder, &at, sizeof(bytes)));
	for (uint64_t done = 0; !complete;) {
		uint8_t *where;
		size_t size = frame_decoder_want(decoder, &where);

		CHECK(size > 0 && done + size <= length);
		/* What a header promises is not allocated before it comes. */
		CHECK(decoder->payload.capacity <= 2 * (done + size) + 256);
		memset(where, 'x', size);
		done += size;
		complete = frame_decoder_advance(decoder, size);
		CHECK(complete == (done == length));
		most = decoder->payload.capacity > most ? decoder->payload.capacity : most;
	}
	return most;
}

static void test_oversize(void)
{
	struct frame_decoder decoder = { 0 };

	(void)read_length(&decoder, TTRPC_MESSAGE_MAX);
	CHECK(!frame_decoder_oversize(&decoder));
	CHECK_INT(buffer_length(&decoder.payload), TTRPC_MESSAGE_MAX);
	frame_decoder_next(&decoder);
	/* The room of a large frame is not kept. */
	CHECK(decoder.payload.capacity <= 16384);
	CHECK(read_length(&decoder, TTRPC_MESSAGE_MAX + 1) <= 131072);
	CHECK(frame_decoder_oversize(&decoder));
	CHECK_INT(buffer_length(&decoder.payload), 0);
	frame_decoder_next(&decoder);
	CHECK(read_length(&decoder, 0x10000000) <= 131072);
	CHECK(frame_decoder_oversize(&decoder));
	frame_decoder_next(&decoder);
	/* And the next frame is read as if nothing had been. */
	(void)read_length(&decoder, 5);
	CHECK(!frame_decoder_oversize(&decoder));
	CHECK_INT(buffer_length(&decoder.payload), 5);
	frame_decoder_done(&decoder);
}

/* request.proto by hand: service "a.B", method "C", payload id "x", 5 s,
 * metadata k=v. */
static void test_request_bytes(void)
{
	static const uint8_t golden[] = {
		0x0a, 3,    'a',  '.',	'B',		    /* service */
		0x12, 1,    'C',			    /* method */
		0x1a, 3,    0x0a, 1,	'x',		    /* payload {id} */
		0x20, 0x80, 0xe4, 0x97, 0xd0, 0x12,	    /* timeout_nano 5000000000 */
		0x2a, 6,    0x0a, 1,	'k',  0x12, 1, 'v', /* metadata */
	};
	Task__StartRequest request = TASK__START_REQUEST__INIT;
	const struct ttrpc_request call = {
		.service = "a.B", .method = "C", .message = &request.base, .timeout_ms = 5000
	};
	struct metadata *metadata = NULL;
	struct error *error = NULL;
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size = 0;

	request.id = "x";
	metadata_add(&metadata, "k", "v");
	CHECK_OK(message_pack_request(&call, metadata, &bytes, &size, &error), &error);
	CHECK_INT(size, sizeof(golden));
	CHECK(memcmp(bytes, golden, sizeof(golden)) == 0);
	metadata_free(metadata);
}

static void test_request_too_large(void)
{
	Task__ExecProcessRequest request = TASK__EXEC_PROCESS_REQUEST__INIT;
	const struct ttrpc_request call = { .service = "s",
					    .method = "m",
					    .message = &request.base };
	_cleanup_free_ char *text = xmalloc(TTRPC_MESSAGE_MAX + 1);
	struct error *error = NULL;
	uint8_t *bytes;
	size_t size;

	memset(text, 'x', TTRPC_MESSAGE_MAX);
	text[TTRPC_MESSAGE_MAX] = '\0';
	request.id = text;
	CHECK_ERROR(message_pack_request(&call, NULL, &bytes, &size, &error), &error,
		    "s/m is 4194");
}

static int unpack_response(const char *bytes, size_t size, struct error **ret_error)
{
	ProtobufCMessage *response;

	if (message_unpack_response((const uint8_t *)bytes, size,
				    &task__create_task_response__descriptor, &response,
				    ret_error) < 0)
		return -1;
	CHECK_INT(((Task__CreateTaskResponse *)response)->pid, 7);
	protobuf_c_message_free_unpacked(response, NULL);
	return 0;
}

static void test_responses(void)
{
	struct error *error = NULL;

	CHECK_OK(unpack_response("\x12\x02\x08\x07", 4, &error), &error);
	/* A status of code OK is not a failure. */
	CHECK_OK(unpack_response("\x0a\x00\x12\x02\x08\x07", 6, &error), &error);
	CHECK(unpack_response("\x0a\x07\x08\x05\x12\x03"
			      "abc",
			      9, &error) < 0);
	CHECK_INT(error->code, ENOENT);
	CHECK_ERROR(-1, &error, "abc");
	CHECK(unpack_response("\x0a\x02\x08\x0d", 4, &error) < 0);
	CHECK_INT(error->code, EIO);
	CHECK_ERROR(-1, &error, "code 13");
	CHECK(unpack_response("\x0a\x7f", 2, &error) < 0);
	CHECK_INT(error->code, EPROTO);
	CHECK_ERROR(-1, &error, "not a ttrpc response");
	CHECK_ERROR(unpack_response("\x12\x02\x0a\x7f", 4, &error), &error,
		    "not a task.CreateTaskResponse");
}

/* Messages that take a multiple of their bytes: refused before they do. */
static void test_memory_bound(void)
{
	const size_t size = TTRPC_MESSAGE_MAX;
	_cleanup_free_ uint8_t *bytes = xmalloc(size);
	ProtobufCMessage *message;
	size_t memory = 0;

	for (size_t i = 0; i < size; i += 2) {
		bytes[i] = 0x1a; /* rootfs: an empty Mount */
		bytes[i + 1] = 0;
	}
	CHECK(!message_unpack(&task__create_task_request__descriptor, bytes, size, NULL));
	for (size_t i = 0; i < size; i += 2) {
		bytes[i] = 0x78; /* field 15, a varint: unknown */
		bytes[i + 1] = 0;
	}
	CHECK(!message_unpack(&task__create_task_request__descriptor, bytes, size, NULL));
	/* A message that is large for its contents is fine. */
	memset(bytes, 'x', size);
	memcpy(bytes, "\x0a\xfb\xff\xff\x01", 5);
	message = message_unpack(&task__create_task_request__descriptor, bytes, size, &memory);
	CHECK(message);
	CHECK(memory > size && memory < size + 4096);
	protobuf_c_message_free_unpacked(message, NULL);
}

static void check_utf8(const char *text, const char *wanted)
{
	_cleanup_free_ char *copy = xstrdup(text);

	message_make_utf8(copy);
	CHECK_STRING(copy, wanted);
}

static void test_utf8(void)
{
	check_utf8("", "");
	check_utf8("plain \x7f", "plain \x7f");
	check_utf8("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
	check_utf8("\xff\xc3", "??");
	check_utf8("\xe2\x82", "??");
	check_utf8("\xc0\x80\xe0\x80\x80", "?????"); /* overlong */
	check_utf8("\xed\xa0\x80", "???");	     /* a surrogate */
	check_utf8("\xf4\x90\x80\x80", "????");	     /* above U+10FFFF */
	check_utf8("\xed\x9f\xbf\xf4\x8f\xbf\xbf",
		   "\xed\x9f\xbf\xf4\x8f\xbf\xbf"); /* the last before each */
	check_utf8("a\x80z", "a?z");
}

static void test_any(void)
{
	Task__ProcessDetails details = TASK__PROCESS_DETAILS__INIT;
	Task__Any any = TASK__ANY__INIT;
	Task__Timestamp timestamp;
	ProtobufCMessage *message;

	details.exec_id = "e";
	any_pack(&any, "containerd.runc.v1.ProcessDetails", &details.base);
	CHECK_STRING(any.type_url, "containerd.runc.v1.ProcessDetails");
	CHECK_INT(any.value.len, 3);
	CHECK(memcmp(any.value.data,
		     "\x0a\x01"
		     "e",
		     3) == 0);
	CHECK(any_is(&any, "containerd.runc.v1.ProcessDetails"));
	CHECK(!any_is(&any, "runc.v1.ProcessDetails"));
	CHECK(!any_is(&any, "x.containerd.runc.v1.ProcessDetails"));
	CHECK(!any_is(NULL, "x"));
	message = any_unpack(&any, any.type_url, &task__process_details__descriptor);
	CHECK(message);
	CHECK_STRING(((Task__ProcessDetails *)message)->exec_id, "e");
	protobuf_c_message_free_unpacked(message, NULL);
	CHECK(!any_unpack(&any, "other", &task__process_details__descriptor));
	any_done(&any);

	any.type_url = "type.googleapis.com/a.B";
	CHECK(any_is(&any, "a.B"));
	CHECK(!any_is(&any, "B"));

	timestamp_init(&timestamp, UINT64_C(1700000000123456789));
	CHECK_INT(timestamp.seconds, 1700000000);
	CHECK_INT(timestamp.nanos, 123456789);
}

static void test_codes(void)
{
	static const int both_ways[] = { ENOENT, EEXIST,    EINVAL, EBUSY,
					 ENOSYS, ETIMEDOUT, EPERM,  ECONNRESET };

	for (size_t i = 0; i < ARRAY_SIZE(both_ways); i++)
		CHECK_INT(ttrpc_errno_of_code((int32_t)ttrpc_code_of_errno(both_ways[i])),
			  both_ways[i]);
	CHECK_INT(ttrpc_code_of_errno(EACCES), TTRPC_PERMISSION_DENIED);
	CHECK_INT(ttrpc_code_of_errno(ENOENT), 5);
	CHECK_INT(ttrpc_code_of_errno(EMFILE), TTRPC_UNKNOWN);
	CHECK_INT(ttrpc_errno_of_code(-1), EIO);
	CHECK_INT(ttrpc_errno_of_code(2), EIO);
}

static const struct test_case cases[] = {
	{ "header", test_header },
	{ "cuts", test_cuts },
	{ "oversize", test_oversize },
	{ "request bytes", test_request_bytes },
	{ "request too large", test_request_too_large },
	{ "responses", test_responses },
	{ "memory bound", test_memory_bound },
	{ "utf8", test_utf8 },
	{ "any", test_any },
	{ "codes", test_codes },
};

TEST_MAIN(cases)
