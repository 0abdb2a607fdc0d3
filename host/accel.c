/* SPDX-License-Identifier: Apache-2.0 */
/* accel=auto|kvm|tcg: see accel.h. */
#include "host/accel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/paths.h"
#include "host/runtime-file.h"
#include "host/settings.h"
#include "runtime-spec/machine-options.h"
#include "runtime-spec/spec.h"

#define WARNED_FILE "@emulated" /* holds the boot that was warned */

static const char *const names[] = {
	[ACCEL_AUTO] = "auto",
	[ACCEL_KVM] = "kvm",
	[ACCEL_TCG] = "tcg",
};

const char *accel_wish_name(enum accel_wish wish)
{
	return names[wish];
}

int accel_wish_parse(const char *word, enum accel_wish *ret_wish)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(word, names[i]) != 0)
			continue;
		*ret_wish = (enum accel_wish)i;
		return 0;
	}
	return -1;
}

int accel_asked(const struct accel_request *request, enum accel_wish *ret_wish,
		const char **ret_source, struct error **ret_error)
{
	const struct {
		const char *word, *source;
	} places[] = {
		{ request->flag, "--accel" },
		{ request->spec ? spec_annotation(request->spec, ANNOTATION_ACCEL) : NULL,
		  "annotations[\"" ANNOTATION_ACCEL "\"]" },
		{ getenv("SUPERMACHINE_ACCEL"), "$SUPERMACHINE_ACCEL" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (!places[i].word || !places[i].word[0])
			continue;
		if (accel_wish_parse(places[i].word, ret_wish) < 0)
			return error_set(ret_error, EINVAL,
					 "%s: must be auto, kvm or tcg, not \"%s\"",
					 places[i].source, places[i].word);
		*ret_source = places[i].source;
		return 0;
	}
	*ret_wish = request->settings->accel;
	*ret_source = "the configuration file";
	return 0;
}

int accel_decide(enum accel_wish wish, const char *source, const struct kvm_answer *answer,
		 enum vm_accel *ret_accel, char **ret_reason, struct error **ret_error)
{
	_cleanup_free_ char *qemu = NULL;

	*ret_reason = NULL;
	if (wish != ACCEL_TCG && kvm_answer_usable(answer)) {
		*ret_accel = VM_ACCEL_KVM;
		return 0;
	}
	if (wish == ACCEL_KVM)
		return error_set(ret_error, ENOTSUP,
				 "accel=kvm (%s): KVM is not usable: %s; accel=auto or tcg runs "
				 "the container emulated (see supermachine check)",
				 source, answer->message);
	if (paths_find_qemu(&qemu, ret_error) < 0) {
		if (wish == ACCEL_AUTO)
			return error_wrap(ret_error, "KVM is not usable (%s), so QEMU is needed",
					  answer->message);
		return error_wrap(ret_error, "accel=tcg (%s)", source);
	}
	if (wish == ACCEL_AUTO)
		*ret_reason = xstrdup(answer->message);
	*ret_accel = VM_ACCEL_TCG;
	return 0;
}

/* Once per boot and user: it is true of every container, and `check` tells more. */
static void warn_of_emulation(const char *reason)
{
	_cleanup_free_ char *directory = paths_runtime(), *boot = boot_id(), *text = NULL;
	_cleanup_error_ struct error *error = NULL;
	size_t size;

	log_debug("the container runs emulated (accel=tcg): KVM is not usable: %s", reason);
	if (boot && runtime_file_load(directory, WARNED_FILE, 64, &text, &size) == 0 &&
	    strcmp(text, boot) == 0)
		return;
	log_warning(
	    "KVM is not usable: running emulated, which is slower (see supermachine check)");
	if (boot && runtime_file_save(directory, WARNED_FILE, boot, strlen(boot), &error) < 0)
		log_debug("the warning will be repeated: %s", error->message);
}

int accel_find(const struct accel_request *request, enum vm_accel *ret_accel,
	       struct error **ret_error)
{
	_cleanup_(kvm_answer_freep) struct kvm_answer *answer = NULL;
	_cleanup_free_ char *reason = NULL;
	const char *source;
	enum accel_wish wish;

	if (accel_asked(request, &wish, &source, ret_error) < 0)
		return -1;
	if (wish != ACCEL_TCG && kvm_answer_get(request->vmm, &answer, ret_error) < 0)
		return -1;
	if (accel_decide(wish, source, answer, ret_accel, &reason, ret_error) < 0)
		return -1;
	if (reason)
		warn_of_emulation(reason);
	return 0;
}
