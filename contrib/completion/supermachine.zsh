#compdef supermachine
# SPDX-License-Identifier: Apache-2.0
# Completion of supermachine's command line for zsh: what the one for bash offers.

_supermachine() {
	local -a found
	found=(${(f)"$(bash -c '
		. "$1" && shift || exit
		COMP_CWORD=$1 && shift && COMP_WORDS=("$@") && _supermachine && printf "%s\n" "${COMPREPLY[@]}"' \
		bash @COMPLETION@ $((CURRENT - 1)) "${words[@]}" 2>/dev/null)"})
	if [[ -n $found[1] ]]; then
		compadd -- "${found[@]}"
	else
		_files
	fi
}

_supermachine "$@"
