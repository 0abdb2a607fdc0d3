/* accel=auto|kvm|tcg: see accel.h. */
#include "runtime-spec/accel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/paths.h"
#include "runtime-spec/settings.h"
#include "runtime-spec/spec.h"

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
					 "%s: \"%s\" is none of auto, kvm and tcg",
					 places[i].source, places[i].word);
		*ret_source = places[i].source;
		return 0;
	}
	*ret_wish = request->settings->accel;
	*ret_source = "the configuration file";
	return 0;
}

int accel_decide(enum accel_wish wish, const char *source, const struct kvm_answer *answer,
		 enum vm_accel *ret_accel, char **ret_warning, struct error **ret_error)
{
	_cleanup_free_ char *qemu = NULL;

	*ret_warning = NULL;
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
			return error_wrap(ret_error,
					  "KVM is not usable (%s), and without it QEMU is needed",
					  answer->message);
		return error_wrap(ret_error, "accel=tcg (%s)", source);
	}
	if (wish == ACCEL_AUTO)
		*ret_warning =
		    xasprintf("the container runs emulated (accel=tcg), which is slower: "
			      "KVM is not usable: %s (see supermachine check)",
			      answer->message);
	*ret_accel = VM_ACCEL_TCG;
	return 0;
}

int accel_find(const struct accel_request *request, enum vm_accel *ret_accel,
	       struct error **ret_error)
{
	_cleanup_(kvm_answer_freep) struct kvm_answer *answer = NULL;
	_cleanup_free_ char *warning = NULL;
	const char *source;
	enum accel_wish wish;

	if (accel_asked(request, &wish, &source, ret_error) < 0)
		return -1;
	if (wish != ACCEL_TCG && kvm_answer_get(request->vmm, &answer, ret_error) < 0)
		return -1;
	if (accel_decide(wish, source, answer, ret_accel, &warning, ret_error) < 0)
		return -1;
	if (warning)
		log_warning("%s", warning);
	return 0;
}
