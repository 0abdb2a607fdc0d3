# SPDX-License-Identifier: Apache-2.0
# Completion of supermachine's command line for bash: verbs and options from its own help, containers,
# images and volumes as they are now.

# _supermachine_options [VERB]: the options that the help tells of.
_supermachine_options() {
	supermachine ${1:+"$1"} --help 2>/dev/null | awk '
		/^(GLOBAL )?OPTIONS:$/ { here = 1; next }
		here && /^   -/ {
			sub(/^ +/, "")
			sub(/  .*/, "")
			for (n = split($0, words, /[ ,]+/); n > 0; n--)
				if (words[n] ~ /^-/)
					print words[n]
		}'
}

# _supermachine_takes OPTION [VERB]: whether the option has a value.
_supermachine_takes() {
	supermachine ${2:+"$2"} --help 2>/dev/null | grep -Eq -- "^   .*$1 value"
}

_supermachine_verbs() {
	supermachine --help 2>/dev/null | awk '/^COMMANDS:/ { here = 1; next } /^$/ { here = 0 } here { print $1 }' | tr -d ,
}

_supermachine_images() {
	supermachine images 2>/dev/null | awk 'NR > 1 && $1 != "<none>" {
		name = $1 ":" $2
		print name
		if (sub("^docker[.]io/(library/)?", "", name)) print name
		if (sub(":latest$", "", name)) print name }'
}

# What the verb's argument is.
_supermachine_arguments() {
	case $1 in
	attach | checkpoint | commit | delete | diff | events | exec | export | fork | kill | logs | pause | port | ps | restart | resume | rm | \
		start | state | stats | stop | top | update | wait)
		supermachine list -q 2>/dev/null
		;;
	cp) supermachine list -q 2>/dev/null | sed 's/$/:/' ;;
	inspect)
		supermachine list -q 2>/dev/null
		_supermachine_images
		;;
	history | pull | rmi | run | save) _supermachine_images ;;
	help) _supermachine_verbs ;;
	system) echo df ;;
	volume)
		echo create inspect ls prune rm
		supermachine volume ls -q 2>/dev/null
		;;
	esac
}

_supermachine() {
	local word=${COMP_WORDS[COMP_CWORD]} verb='' i words
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-*) ! _supermachine_takes "${COMP_WORDS[i]}" || ((i++)) ;;
		*)
			verb=${COMP_WORDS[i]}
			break
			;;
		esac
	done
	if [[ $word == -* ]]; then
		words=$(_supermachine_options "$verb")
	elif [[ -z $verb ]]; then
		words=$(_supermachine_verbs)
	else
		words=$(_supermachine_arguments "$verb")
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
	# A name with a colon is several words to bash.
	! declare -F __ltrim_colon_completions >/dev/null || __ltrim_colon_completions "$word"
}

complete -o bashdefault -o default -F _supermachine supermachine
