/* SPDX-License-Identifier: Apache-2.0 */
/* The far ends of streams that are under test. */
#pragma once

/* A connection; fds[1] does not block. */
void make_sockets(int fds[2]);
/* The next bytes are those of text. */
void expect(int fd, const char *text);
/* Nothing more comes, and the end does. */
void expect_end(int fd);
