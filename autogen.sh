#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes ./configure. Needs the Debian packages autoconf and automake.
set -eu
cd "$(dirname "$0")"
mkdir -p m4
exec autoreconf --install --force
