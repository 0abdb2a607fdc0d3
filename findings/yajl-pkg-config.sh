#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# yajl 2.1.0 of Debian 12 (libyajl-dev 2.1.0-3+deb12u2): what its yajl.pc says suffices only
# because the compiler looks into /usr/include and /usr/lib anyway.
#   1. Cflags name PREFIX/include/yajl, but yajl's own headers include each other as
#      <yajl/NAME>: with these flags alone, a header cannot be compiled.
#   2. --static --libs is -lyajl like --libs, but the package's archive is libyajl_s.a: a
#      static program cannot be linked with it.
# Exits 0 while that is so.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q -o APT::Sandbox::User=root download libyajl-dev=2.1.0-3+deb12u2 libyajl2=2.1.0-3+deb12u2 >/dev/null
for package in *.deb; do dpkg -x "$package" root; done
export PKG_CONFIG_PATH="$work/root/usr/lib/x86_64-linux-gnu/pkgconfig"
flags() {
	pkg-config --define-variable=prefix="$work/root/usr" "$@" yajl
}
echo "version: $(flags --modversion)"
echo "cflags: $(flags --cflags | sed "s|$work||g")"
echo "static libs: $(flags --static --libs | sed "s|$work||g")"

echo '#include <yajl_tree.h>' >header.c
# shellcheck disable=SC2046 # words
if cc -nostdinc -I"$(cc -print-file-name=include)" $(flags --cflags) -c header.c 2>error; then
	echo "changed: the header compiles with pkg-config's flags alone"
	exit 1
fi
sed -n 's/.*fatal error: /with its flags alone: /p' error
# shellcheck disable=SC2046
cc -nostdinc -I"$(cc -print-file-name=include)" -I"$work/root/usr/include" $(flags --cflags) -c header.c
echo "with the directory above it: compiled"

cat >program.c <<'END'
#include <yajl/yajl_tree.h>
int main(void)
{
	yajl_tree_free(yajl_tree_parse("{}", 0, 0));
	return 0;
}
END
# shellcheck disable=SC2046
if cc -static -I"$work/root/usr/include" program.c $(flags --static --libs) -o program 2>error; then
	echo "changed: a static program links with pkg-config's flags"
	exit 1
fi
sed -n 's/.*cannot find/static: cannot find/p' error | head -n 1
cc -static -I"$work/root/usr/include" program.c "$work/root/usr/lib/x86_64-linux-gnu/libyajl_s.a" -lm -o program
./program
echo "with libyajl_s.a: linked, runs"
