/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs: what an image's configuration says of its container. */
#include <string.h>

#include "rootfs/image/image-config.h"
#include "tests/unit/test.h"

static struct image_config *parse(const char *text)
{
	_cleanup_error_ struct error *error = NULL;
	struct image_config *config;

	CHECK_OK(image_config_parse(text, strlen(text), &config, &error), &error);
	return config;
}

static void test_whole(void)
{
	_cleanup_(image_config_freep) struct image_config *config = parse(
	    "{\"os\":\"linux\",\"config\":{\"Env\":[\"A=b=c\",\"E=\"],\"Entrypoint\":[\"/init\"],"
	    "\"Cmd\":[\"-x\",\"\"],\"User\":\"app:29\",\"WorkingDir\":\"/srv\",\"StopSignal\":"
	    "\"SIGQUIT\",\"Volumes\":{\"/data\":{},\"/log\":{}},\"ExposedPorts\":{\"80/tcp\":{}},"
	    "\"Labels\":null}}");

	CHECK_STRING(config->env[0], "A=b=c");
	CHECK_STRING(config->env[1], "E=");
	CHECK(!config->env[2]);
	CHECK_STRING(config->entrypoint[0], "/init");
	CHECK_STRING(config->cmd[1], "");
	CHECK_STRING(config->user, "app:29");
	CHECK_STRING(config->working_dir, "/srv");
	CHECK_STRING(config->stop_signal, "SIGQUIT");
	CHECK_STRING(config->volumes[1], "/log");
	CHECK_STRING(config->exposed_ports[0], "80/tcp");
}

static void test_little(void)
{
	static const char *const texts[] = {
		"{}", "{\"config\":null}", "{\"config\":{}}",
		"{\"config\":{\"Cmd\":null,\"Env\":null,\"User\":null,\"Volumes\":null}}"
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		_cleanup_(image_config_freep) struct image_config *config = parse(texts[i]);

		CHECK(!config->env && !config->cmd && !config->user && !config->volumes);
	}
}

static void refused(const char *text, const char *part)
{
	struct error *error = NULL;
	struct image_config *config;

	CHECK_ERROR(image_config_parse(text, strlen(text), &config, &error), &error, part);
}

static void test_refused(void)
{
	refused("[]", "image configuration");
	refused("{\"config\":[]}", "config");
	refused("{\"config\":{\"Cmd\":\"sh\"}}", "config.Cmd");
	refused("{\"config\":{\"Env\":[\"A\"]}}", "is not NAME=VALUE");
	refused("{\"config\":{\"Env\":[\"=x\"]}}", "is not NAME=VALUE");
	refused("{\"config\":{\"User\":5}}", "config.User");
	refused("{\"config\":{\"WorkingDir\":\"srv\"}}", "is not an absolute path");
	refused("{\"config\":{\"Volumes\":{\"data\":{}}}}", "is not an absolute path");
}

static const struct test_case cases[] = {
	{ "whole", test_whole },
	{ "little", test_little },
	{ "refused", test_refused },
};

TEST_MAIN(cases)
