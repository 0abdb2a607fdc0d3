/* SPDX-License-Identifier: Apache-2.0 */
/* An answer: see kvm-answer.h. */
#include "host/kvm-answer.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "protocol/probe.h"

struct kvm_answer *kvm_answer_new(const char *verdict, const char *message)
{
	struct kvm_answer *answer = xcalloc(1, sizeof(*answer));

	answer->verdict = xstrdup(verdict);
	answer->message = xstrdup(message);
	return answer;
}

void kvm_answer_free(struct kvm_answer *answer)
{
	if (!answer)
		return;
	free(answer->verdict);
	free(answer->message);
	free(answer);
}

bool kvm_answer_usable(const struct kvm_answer *answer)
{
	return strcmp(answer->verdict, PROBE_USABLE) == 0;
}
