/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ordinary user's namespaces: in a user namespace of its own, in which the user is who he was,
 * a task server may mount, make network namespaces and enter those. Its files and devices stay
 * those of the user; no other user is there.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* The calling process, which has no second thread, enters new user and mount namespaces, and has
 * all capabilities there until it executes a program. */
int own_namespaces_enter(struct error **ret_error);
/* It lacks CAP_SYS_ADMIN where it is. */
bool own_namespaces_are_needed(void);
/* Tries it in a child. */
int own_namespaces_try(struct error **ret_error);
/* What a program that is executed from here is to keep of the capabilities: those for a root
 * directory of its own. (Beside CAP_SETUID it would take other users' ids for its own.) Nothing
 * where they were not needed. */
void own_namespaces_pass_on(void);
