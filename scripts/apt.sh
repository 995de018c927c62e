# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced after lib.sh: Debian's packages without root and without a change to the system.

# The mirror from which apt has Debian. Nothing if it has none.
# shellcheck disable=SC2016 # apt's own variables
debian_uri() {
	apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Identifier: Packages' \
		'Component: main' 'Origin: Debian' | awk '$2 ~ /^[a-z]+$/ { print $1; exit }' || :
}

# Set the array apt to options with which apt keeps its lists in FOLDER, and knows only
# these suites of Debian, if any is given. usage: apt_in FOLDER [SUITE...]
apt_in() {
	local folder=$1 uri
	shift
	mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
	apt=(-o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder/cache" -o APT::Sandbox::User=root)
	[ $# -gt 0 ] || return 0
	uri=$(debian_uri)
	[ -n "$uri" ] || die "apt's sources have no Debian: this is for Debian 12 and 13"
	printf "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri %s main\n" "$@" \
		>"$folder/sources.list"
	apt+=(-o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=-)
}

# Let apt take this machine for another one, on which nothing is installed.
# usage: apt_for FOLDER ARCHITECTURE
apt_for() {
	: >"$1/status"
	apt+=(-o "Dir::State::status=$1/status" -o "APT::Architecture=$2" -o "APT::Architectures=$2")
}
