/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the parser's files alone: reading into spec.h's conventions, and
 * one function per part of config.json.
 *
 * A parser fills the struct it is given in place and leaves freeing, after a
 * failure too, to the whole's owner: every struct is zeroed before it is
 * filled, so that its _done function can free what there is.
 */
#pragma once

#include "base/json.h"
#include "runtime-spec/spec.h"

/* As json_get_string(), but "" counts as absent: Go writes many absent strings so. */
int spec_get_text(const struct json_at *object, const char *key, enum json_need need,
		  char **ret_text, struct error **ret_error);
/* The same for a path that must be absolute. */
int spec_get_path(const struct json_at *object, const char *key, enum json_need need,
		  char **ret_path, struct error **ret_error);
/* Scalars whose absence is a NULL pointer. */
int spec_get_int64_pointer(const struct json_at *object, const char *key, int64_t min, int64_t max,
			   int64_t **ret_value, struct error **ret_error);
int spec_get_uint64_pointer(const struct json_at *object, const char *key, uint64_t **ret_value,
			    struct error **ret_error);
/* Scalars whose absence is a flag. */
int spec_get_uint32_flag(const struct json_at *object, const char *key, bool *ret_has,
			 uint32_t *ret_value, struct error **ret_error);
int spec_get_uint16_flag(const struct json_at *object, const char *key, bool *ret_has,
			 uint16_t *ret_value, struct error **ret_error);
/* A string out of a list that ends with NULL; `what` names the kind in the message. */
int spec_get_word(const struct json_at *object, const char *key, enum json_need need,
		  const char *const *words, const char *what, char **ret_word,
		  struct error **ret_error);
/* An array of strings, each out of such a list. */
int spec_get_words(const struct json_at *object, const char *key, const char *const *words,
		   const char *what, char ***ret_words, struct error **ret_error);

/* Fills one element (zeroed, of the size given to spec_get_list) from an object. */
typedef int (*spec_element_fn)(const struct json_at *at, void *element, struct error **ret_error);
/* An array of objects. ret_elements is a `struct foo **` that belongs to a zeroed
 * struct; it and the count grow before an element is filled. */
int spec_get_list(const struct json_at *object, const char *key, enum json_need need, size_t size,
		  spec_element_fn function, void *ret_elements, size_t *ret_count,
		  struct error **ret_error);
int spec_read_id_mappings(const struct json_at *at, const char *key,
			  struct spec_id_mapping **ret_mappings, size_t *ret_n,
			  struct error **ret_error);
/* An object of strings. */
int spec_get_map(const struct json_at *object, const char *key, struct spec_key_value **ret_map,
		 size_t *ret_count, struct error **ret_error);
void spec_map_done(struct spec_key_value *map, size_t count);

int spec_read_process(const struct json_at *at, struct spec_process *ret_process,
		      struct error **ret_error);
void spec_process_done(struct spec_process *process);
/* scheduler, ioPriority, execCPUAffinity (spec-scheduling.c). */
int spec_read_scheduling(const struct json_at *process, struct spec_process *ret_process,
			 struct error **ret_error);
int spec_read_hooks(const struct json_at *root, struct spec_hooks *ret_hooks,
		    struct error **ret_error);
void spec_hooks_done(struct spec_hooks *hooks);
int spec_read_mounts(const struct json_at *root, struct spec *spec, struct error **ret_error);
void spec_mounts_done(struct spec *spec);
int spec_read_linux(const struct json_at *at, struct spec_linux *ret_linux,
		    struct error **ret_error);
void spec_linux_done(struct spec_linux *linux_);
int spec_read_resources(const struct json_at *at, struct spec_resources *ret_resources,
			struct error **ret_error);
void spec_resources_done(struct spec_resources *resources);
int spec_read_seccomp(const struct json_at *at, struct spec_seccomp *ret_seccomp,
		      struct error **ret_error);
void spec_seccomp_done(struct spec_seccomp *seccomp);
int spec_read_vm(const struct json_at *at, struct spec_vm *ret_vm, struct error **ret_error);
void spec_vm_done(struct spec_vm *vm);
