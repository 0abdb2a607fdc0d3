/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AML, ACPI's byte code, as far as describing devices needs it (ACPI 6.5 §20.2).
 * Blocks are opened with a _begin that returns a mark and closed with aml_end().
 */
#pragma once

#include <stdint.h>

#include "base/buffer.h"

size_t aml_scope_begin(struct buffer *aml, const char *segment);
size_t aml_device_begin(struct buffer *aml, const char *segment);
/* Method (segment, n_arguments, Serialized) {…} */
size_t aml_method_begin(struct buffer *aml, const char *segment, uint8_t n_arguments);
/* Name (segment, Buffer () {…}) of those bytes, at most 64. */
void aml_name_bytes(struct buffer *aml, const char *segment, const void *bytes, uint8_t size);
/* OperationRegion (region, SystemIO, port, 1), and its byte as a field. */
void aml_port(struct buffer *aml, const char *region, const char *field, uint16_t port);

/* In a method: If (…) {…}; Arg0 is equal to, or the object's value is above, that number. */
size_t aml_if_argument_is(struct buffer *aml, uint32_t value);
size_t aml_if_above(struct buffer *aml, const char *segment, uint32_t value);
size_t aml_if_not_above(struct buffer *aml, const char *segment, uint32_t value);
void aml_return(struct buffer *aml, uint32_t value);
/* A method without arguments. */
void aml_call(struct buffer *aml, const char *segment);
/* target = source */
void aml_store(struct buffer *aml, const char *source, const char *target);
/* Notify (segment, value) */
void aml_notify(struct buffer *aml, const char *segment, uint8_t value);
/* Name (segment, Package () {…}); count elements follow. */
size_t aml_package_begin(struct buffer *aml, const char *segment, uint8_t count);
/* Name (segment, ResourceTemplate () {…}): close with aml_resources_end(). */
size_t aml_resources_begin(struct buffer *aml, const char *segment);
void aml_resources_end(struct buffer *aml, size_t mark);
void aml_end(struct buffer *aml, size_t mark);

void aml_name_string(struct buffer *aml, const char *segment, const char *string);
void aml_name_integer(struct buffer *aml, const char *segment, uint32_t value);
void aml_integer(struct buffer *aml, uint32_t value);

/* Resources (ACPI 6.5 §6.4). */
void aml_memory32_fixed(struct buffer *aml, uint32_t base, uint32_t size);
/* Both active high; the level is exclusive. */
void aml_interrupt_edge(struct buffer *aml, uint32_t gsi);
void aml_interrupt_level(struct buffer *aml, uint32_t gsi);
void aml_io16(struct buffer *aml, uint16_t port, uint8_t size);
