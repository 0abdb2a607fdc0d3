/* SPDX-License-Identifier: Apache-2.0 */
/* Asking KVM through the VMM's probe: see kvm-answer.h. */
#include "host/kvm-answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/capture.h"
#include "base/log.h"
#include "base/paths.h"
#include "protocol/probe.h"

/* The probe bounds itself to less than a second; a kernel that does not come back
 * from an ioctl is all that could exceed this. */
#define PROBE_LIMIT_MS 10000

/* "VERDICT" or "VERDICT: MESSAGE", one line. */
static struct kvm_answer *parse_output(char *text)
{
	char *colon;

	text[strcspn(text, "\n")] = '\0';
	colon = strstr(text, ": ");
	if (colon)
		*colon = '\0';
	if (!probe_is_verdict(text))
		return NULL;
	return kvm_answer_new(text, colon ? colon + 2 : "");
}

static int run(const char *vmm, struct kvm_answer **ret_answer, struct error **ret_error)
{
	char *argv[] = { (char *)vmm, (char *)"--probe", NULL };
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char *why = NULL;
	int status;

	if (capture_output(argv, PROBE_LIMIT_MS, &text, &status, &error) < 0) {
		if (error->code != ETIMEDOUT)
			return error_set(ret_error, error->code, "%s", error->message);
		*ret_answer = kvm_answer_new(PROBE_FAILED, error->message);
		return 0;
	}
	*ret_answer = WIFEXITED(status) ? parse_output(text) : NULL;
	if (*ret_answer)
		return 0;
	why = xasprintf("the probe (%s --probe) ended with %s %d and no verdict", vmm,
			WIFSIGNALED(status) ? "signal" : "status",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	*ret_answer = kvm_answer_new(PROBE_FAILED, why);
	return 0;
}

/* The others may pass by themselves (PROBE_BUSY, PROBE_FAILED), or with the next
 * login or module (PROBE_REFUSED, PROBE_MISSING), and cost nothing to find again. */
static bool lasts(const struct kvm_answer *answer)
{
	static const char *const words[] = { PROBE_USABLE, PROBE_UNFIT, PROBE_EMULATED,
					     PROBE_SLOW };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(answer->verdict, words[i]) == 0)
			return true;
	return false;
}

static int ask(const char *vmm, const char *directory, const char *key,
	       struct kvm_answer **ret_answer, struct error **ret_error)
{
	struct kvm_answer *answer = NULL;

	if (run(vmm, &answer, ret_error) < 0)
		return -1;
	log_debug("KVM: %s%s%s", answer->verdict, answer->message[0] ? ": " : "", answer->message);
	if (!lasts(answer))
		kvm_memory_forget(directory);
	else if (key)
		kvm_memory_save(directory, key, answer);
	*ret_answer = answer;
	return 0;
}

static int answer_from(const char *vmm, bool remembered, struct kvm_answer **ret_answer,
		       struct error **ret_error)
{
	_cleanup_free_ char *directory = paths_runtime();
	_cleanup_free_ char *found = NULL;
	_cleanup_free_ char *key = NULL;
	struct kvm_answer *answer;

	if (!vmm && paths_find_program("supermachine-vmm", &found, ret_error) < 0)
		return -1;
	key = kvm_memory_key(vmm ? vmm : found);
	answer = remembered && key ? kvm_memory_load(directory, key) : NULL;
	if (!answer)
		return ask(vmm ? vmm : found, directory, key, ret_answer, ret_error);
	*ret_answer = answer;
	return 0;
}

int kvm_answer_get(const char *vmm, struct kvm_answer **ret_answer, struct error **ret_error)
{
	return answer_from(vmm, true, ret_answer, ret_error);
}

int kvm_answer_ask(const char *vmm, struct kvm_answer **ret_answer, struct error **ret_error)
{
	return answer_from(vmm, false, ret_answer, ret_error);
}
