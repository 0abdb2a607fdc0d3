/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's call Network: of containers with a network namespace of their own, and with the
 * machine's. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/unit/agent-rig.h"
#include "tests/unit/network-rig.h"

static void call(struct rig *rig, const struct wish *wish)
{
	struct error *error = NULL;

	CHECK_OK(rig_call(rig, "Network", &wish->request, NULL, NULL, &error), &error);
}

static char *exec_in(struct rig *rig, const char *id, const char *script)
{
	_cleanup_free_ char *process = xasprintf("{\"args\":[\"sh\",\"-c\",\"%s\"],\"cwd\":\"/\","
						 "\"env\":[\"PATH=/bin\"]}",
						 script);
	static unsigned count;
	_cleanup_free_ char *exec_id = xasprintf("e%u", count++);
	struct rig_result result = { 0 };
	struct error *error = NULL;
	struct rig_io io;
	char *text;

	CHECK_OK(rig_exec(rig, id, exec_id, process, &io, &error), &error);
	text = rig_read(io.out, NULL);
	rig_wait(rig, id, exec_id, &result);
	(void)close(io.in);
	(void)close(io.out);
	(void)close(io.err);
	return text;
}

#define USER_MAPS                                                                                  \
	"\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1000}],"                        \
	"\"gidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1000}]"

static void create(struct rig *rig, const char *id, const char *network)
{
	_cleanup_free_ char *namespaces =
	    xasprintf("[{\"type\":\"mount\"},{\"type\":\"pid\"}%s]", network);
	const struct rig_config config = { .args = "[\"sleep\",\"1000\"]",
					   .namespaces = namespaces,
					   .linux_ = strstr(network, "user") ? USER_MAPS : NULL,
					   .hostname = "" };
	struct error *error = NULL;

	CHECK_OK(rig_create(rig, id, &config, NULL, &error), &error);
}

static void end(struct rig *rig, const char *id)
{
	struct rig_result result = { 0 };
	struct error *error = NULL;

	CHECK_OK(rig_signal(rig, id, SIGKILL, false, &error), &error);
	rig_wait(rig, id, "", &result);
	CHECK_OK(rig_delete(rig, id, &error), &error);
}

#define NEW_NETWORK ",{\"type\":\"network\"}"
#define USER_NETWORK ",{\"type\":\"ipc\"},{\"type\":\"user\"},{\"type\":\"network\"}"
#define PATH_NETWORK ",{\"type\":\"network\",\"path\":\"/proc/7/ns/net\"}"

static void check_exec(struct rig *rig, const char *id, const char *script, const char *wanted)
{
	_cleanup_free_ char *text = exec_in(rig, id, script);

	CHECK_STRING(text, wanted);
}

#define SHOW_LINKS "ip -o link | cut -d: -f2 | cut -d@ -f1 | sort | tr -d '\\n'"

struct service {
	struct rig rig;
	pid_t host;
	struct wish wish; /* of one interface and what it has */
};

static void start_service(struct service *service)
{
	if (getenv("RIG_KERNEL"))
		test_skip("the devices are not a guest's");
	network_rig_start();
	service->host = network_namespace_new();
	for (unsigned i = 1; i <= 4; i++)
		network_device_new(i);
	network_shell(
	    service->host,
	    "ip link add eth0 type veth peer name p0; ip link set eth0 up; ip link set p0 "
	    "up; ip addr add 10.1.0.5/24 dev eth0; ip route add default via 10.1.0.1");
	rig_start(&service->rig);
	create(&service->rig, "new", NEW_NETWORK);
	create(&service->rig, "path", PATH_NETWORK);
	create(&service->rig, "other", PATH_NETWORK);
	create(&service->rig, "user", USER_NETWORK);
	create(&service->rig, "none", "");
	wish_init(&service->wish, "");
	(void)wish_add_link(&service->wish, 1, service->host, "eth0");
	wish_add_all(&service->wish, service->host);
}

static void stop_service(struct service *service)
{
	rig_stop(&service->rig);
	wish_done(&service->wish);
	network_namespace_end(service->host);
}

/* The container has the interface, by this device, or (0) not any more. */
static void give(struct service *service, const char *id, uint8_t device)
{
	service->wish.request.id = (char *)id;
	service->wish.request.n_interfaces = device ? 1 : 0;
	service->wish.interfaces[0].slot.data[5] = device;
	call(&service->rig, &service->wish);
	service->wish.request.n_interfaces = 1;
}

static void test_service(void)
{
	static const char *const ids[] = { "new", "path", "other", "user" };
	struct error *error = NULL;
	struct service service;

	start_service(&service);
	give(&service, "new", 1);
	give(&service, "path", 2);
	give(&service, "user", 3);
	service.wish.request.id = (char *)"nobody";
	CHECK_ERROR(rig_call(&service.rig, "Network", &service.wish.request, NULL, NULL, &error),
		    &error, "does not exist");
	/* One that the agent refuses; it goes on. */
	service.wish.request.id = (char *)"new";
	service.wish.interfaces[0].slot.len = 5;
	CHECK_ERROR(rig_call(&service.rig, "Network", &service.wish.request, NULL, NULL, &error),
		    &error, "has no Ethernet address");
	service.wish.interfaces[0].slot.len = 6;
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		CHECK_OK(rig_start_container(&service.rig, ids[i], &error), &error);
		check_exec(&service.rig, ids[i], SHOW_LINKS, " eth0 lo");
		check_exec(&service.rig, ids[i], "ip route | head -n 1",
			   "default via 10.1.0.1 dev eth0 \n");
	}
	/* The guest's own: with what is left there. */
	CHECK_OK(rig_start_container(&service.rig, "none", &error), &error);
	check_exec(&service.rig, "none", SHOW_LINKS, " lo nic4 peer1 peer2 peer3 peer4");
	give(&service, "none", 4);
	check_exec(&service.rig, "none", SHOW_LINKS, " eth0 lo peer1 peer2 peer3 peer4");
	give(&service, "none", 0);
	check_exec(&service.rig, "none", SHOW_LINKS, " lo peer1 peer2 peer3 peer4 sm-020000000004");
	/* The machine's namespace outlives its containers, and so does what is known of it. */
	end(&service.rig, "path");
	end(&service.rig, "other");
	create(&service.rig, "path", PATH_NETWORK);
	CHECK_OK(rig_start_container(&service.rig, "path", &error), &error);
	check_exec(&service.rig, "path", SHOW_LINKS, " eth0 lo");
	give(&service, "path", 0);
	check_exec(&service.rig, "path", SHOW_LINKS "; ip route; ip addr | grep -c 10.1.0.5",
		   " lo0\n");
	end(&service.rig, "path");
	end(&service.rig, "new");
	end(&service.rig, "user");
	end(&service.rig, "none");
	stop_service(&service);
}

/* Without a device: in a guest as well. */
static void test_loopback(void)
{
	struct error *error = NULL;
	pid_t host;
	struct wish wish;
	struct rig rig;

	network_rig_start();
	host = network_namespace_new();
	network_shell(host, "ip link set lo up mtu 4000; ip addr add 10.3.3.3/32 dev lo; "
			    "ip addr add 2001:db8::3/128 dev lo; ip route add 10.4.0.0/16 "
			    "dev lo src 10.3.3.3; ip rule add from 10.9.0.0/16 table 7");
	rig_start(&rig);
	create(&rig, "path", PATH_NETWORK);
	create(&rig, "new", NEW_NETWORK);
	for (size_t i = 0; i < 2; i++) {
		static const char *const ids[] = { "path", "new" };

		wish_init(&wish, ids[i]);
		(void)wish_add_link(&wish, 0, host, "lo");
		wish_add_all(&wish, host);
		call(&rig, &wish);
		CHECK_OK(rig_start_container(&rig, ids[i], &error), &error);
		check_exec(&rig, ids[i],
			   "ip -o -4 addr | cut -d' ' -f 7; ip -o -6 addr | cut -d' ' -f 7; cat "
			   "/sys/class/net/lo/mtu; ip route; ip rule | grep -c 'lookup 7'",
			   "127.0.0.1/8\n10.3.3.3/32\n2001:db8::3/128\n::1/128\n4000\n10.4.0.0/16 "
			   "dev lo scope link  src 10.3.3.3 \n1\n");
		end(&rig, ids[i]);
		wish_done(&wish);
	}
	rig_stop(&rig);
	network_namespace_end(host);
}

static const struct test_case cases[] = {
	{ "service", test_service },
	{ "loopback", test_loopback },
};

RIG_MAIN(cases)
