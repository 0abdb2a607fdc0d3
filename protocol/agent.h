/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What host and agent agree on in addition to the messages of protocol/agent.proto: the
 * version, the vsock ports, and the console lines of a machine that becomes a template.
 */
#pragma once

/* Of protocol/agent.proto and of this header; Hello compares it. */
#define AGENT_PROTOCOL_VERSION 2

/* The host listens here for the agent's ttrpc connection; a text for names of sockets. */
#define AGENT_HOST_PORT 1024
#define AGENT_HOST_PORT_TEXT "1024"
/* Descriptors that a process can have beside stdio: FD_PASS_MAX with it. */
#define AGENT_DESCRIPTORS_MAX 29
/* The agent listens here for stdio streams, */
#define AGENT_STDIO_PORT 1025
/* and here for the host's connections to sockets of containers. */
#define AGENT_PUBLISHED_PORT 1026
/* The host listens here for questions to the resolver of the network namespace: DNS as over TCP
 * (RFC 1035 §4.2.2). */
#define AGENT_NAMES_PORT 1027
/* Where that is, by port 53: Docker's, on the namespace's own loopback device. */
#define AGENT_NAMES_ADDRESS "127.0.0.11"
/* The host listens from here on for the agent's connections to sockets of the host, one
 * port for each. */
#define AGENT_FORWARD_PORT_FIRST 1100

/* Where a machine's share has the modules of its kernel, RELEASE/modules.dep and the rest. (No
 * container's id has a colon.) */
#define AGENT_MODULES_SHARE ":kernel/modules"

/* A guest whose kernel has measured its timer wrongly reboots: so often is it started.  On a host
 * that is busy without end about every second start goes wrong. */
#define AGENT_BOOTS_MAX 12

/* On the kernel's command line: stop once idle, for a template to be made. */
#define TEMPLATE_PARAMETER "supermachine.template"
/* On the console, a line each: the agent has stopped; it cannot, and this is why. */
#define TEMPLATE_IDLE "supermachine-template: idle"
#define TEMPLATE_REFUSED "supermachine-template: refused: "
