# shellcheck shell=bash
# Shared by every script under deploy/local: messages, the cache, and "do this
# once" helpers. To be sourced; defines functions and read-only settings only.

# Without this, a failure inside $(...) is not noticed there.
shopt -s inherit_errexit

# Where everything that is built or run is kept: outside of the source tree, so
# that cleaning the tree never costs a ten-minute build.
CACHE_DIR=${KUDU_PAIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kudu-pair}

# say MESSAGE: progress goes to stderr; stdout is kept for results.
say() { printf '%s\n' "$*" >&2; }

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# die_usage MESSAGE: for a wrong command line.
die_usage() {
  printf '%s: %s (see --help)\n' "${0##*/}" "$*" >&2
  exit 2
}

# need_command NAME HINT: stop with a hint when a tool that we do not install is missing.
need_command() { command -v "$1" >/dev/null || die "$1 not found: $2"; }

need_root() { [[ $EUID -eq 0 ]] || die "this needs root: network namespaces, mounts and packages"; }

# seconds_since EPOCHREALTIME: elapsed time with one decimal, without a subprocess.
seconds_since() {
  local us=$((${EPOCHREALTIME/./} - ${1/./}))
  printf '%d.%d' $((us / 1000000)) $((us % 1000000 / 100000))
}

# hash_of ITEM...: one short hash of all items. An item is a file's or a folder's path
# and stands for what is in it; one that starts with "text:" stands for itself.
hash_of() {
  local item
  for item in "$@"; do
    if [[ $item == text:* ]]; then
      printf '%s\n' "$item"
    elif [[ -d $item ]]; then
      (cd "$item" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum)
    else
      sha256sum <"$item"
    fi
  done | sha256sum | cut -c1-16
}

# step NAME OUTPUT KEY COMMAND...: run COMMAND unless OUTPUT already exists and was
# made with the same KEY (a hash of the command's inputs). COMMAND gets one more
# argument: the path to write to. It becomes OUTPUT only when the command
# succeeds, so an interrupted build never leaves half a result that looks whole.
step() {
  local name=$1 output=$2 key=$3 start=$EPOCHREALTIME
  shift 3
  if [[ -e $output && -e $output.key && $(<"$output.key") == "$key" ]]; then
    [[ ${QUIET_WHEN_CACHED:-no} == yes ]] || printf '%-44s cached\n' "$name" >&2
    return
  fi
  mkdir -p "${output%/*}"
  rm -rf "$output.key" "$output.new"
  printf '%-44s ...\n' "$name" >&2
  "$@" "$output.new"
  rm -rf "$output"
  mv "$output.new" "$output"
  printf '%s\n' "$key" >"$output.key"
  printf '%-44s done in %ss\n' "$name" "$(seconds_since "$start")" >&2
}

# with_lock NAME COMMAND...: one at a time on this machine. Tests that run side by
# side may all ask for the same artefact.
with_lock() {
  local name=$1
  shift
  mkdir -p "$CACHE_DIR/locks"
  (
    flock 9
    "$@"
  ) 9>"$CACHE_DIR/locks/$name"
}

# install_packages PACKAGE...: Debian packages, only those that are missing. The
# lists are refreshed only when they cannot serve the request.
install_packages() {
  local package missing=() start=$EPOCHREALTIME
  for package in "$@"; do
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
      missing+=("$package")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  need_command apt-get "this needs Debian 12"
  [[ $EUID -eq 0 ]] || die "missing Debian packages, and installing needs root: ${missing[*]}"
  if ! apt_install "${missing[@]}" 2>/dev/null; then
    apt-get update -qq >&2
    apt_install "${missing[@]}" || die "cannot install: ${missing[*]}"
  fi
  printf '%-44s done in %ss\n' "Debian packages (${#missing[@]} missing)" "$(seconds_since "$start")" >&2
}

# apt_install PACKAGE...: nothing that is installed here is started as a service:
# policy-rc.d is consulted by every package's scripts, and 101 means "do not".
apt_install() {
  local policy=/usr/sbin/policy-rc.d made=no status=0
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    made=yes
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null || status=$?
  [[ $made == no ]] || rm -f "$policy"
  return "$status"
}
