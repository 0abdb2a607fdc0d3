# SPDX-License-Identifier: Apache-2.0
# Completion of supermachine's command line for fish: what the one for bash offers, and files.

function __supermachine_found
	set -l before (commandline -opc)
	bash -c '
		. "$1" && shift || exit
		COMP_CWORD=$(($# - 1)) && COMP_WORDS=("$@") && _supermachine && printf "%s\n" "${COMPREPLY[@]}"' \
		bash @COMPLETION@ $before (commandline -ct) 2>/dev/null
end

complete -c supermachine -a '(__supermachine_found)'
