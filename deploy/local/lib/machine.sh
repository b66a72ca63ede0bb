# shellcheck shell=bash
# A "machine" is a network namespace in which one process is PID 1 of its own pid,
# mount, UTS and IPC namespaces and starts everything else. Killing that PID 1 is
# a power cut: the kernel ends every process, mount and pod below it at once.
# Sourced after settings.sh and network.sh.

# start_machine NAME NETNS INIT ARGUMENT...: NAME is for pid and log files.
start_machine() {
  local name=$1 netns=$2
  shift 2
  mkdir -p "$RUN_DIR" "$LOG_DIR/$name"
  setsid nsenter --net="/run/netns/$netns" -- \
    unshare --mount --pid --uts --ipc --fork --kill-child --mount-proc --propagation private \
    "$@" </dev/null >>"$LOG_DIR/$name/init.log" 2>&1 9>&- &
  printf '%s\n' $! >"$RUN_DIR/$name.pid"
}

# machine_launcher NAME NETNS: print the pid of the machine's `unshare`, if it
# runs. A pid file outlives a reboot, so the pid counts only if that process is
# in our network namespace: nothing else is ever killed.
machine_launcher() {
  local pid
  [[ -r $RUN_DIR/$1.pid ]] || return 1
  pid=$(<"$RUN_DIR/$1.pid")
  [[ /proc/$pid/ns/net -ef /run/netns/$2 ]] || return 1
  printf '%s\n' "$pid"
}

# machine_init NAME NETNS: print the host's pid of the machine's PID 1.
machine_init() {
  local launcher init
  launcher=$(machine_launcher "$1" "$2") || return 1
  init=$(<"/proc/$launcher/task/$launcher/children") || return 1
  [[ -n ${init// /} ]] || return 1
  printf '%s\n' "${init// /}"
}

machine_is_on() { machine_init "$1" "$2" >/dev/null 2>&1; }

# kill_machine NAME NETNS: pull the plug; return when all its processes are gone.
kill_machine() {
  local launcher init
  launcher=$(machine_launcher "$1" "$2") || return 0
  # Without its PID 1 (it failed, or has not forked yet) the launcher itself has to go.
  init=$(machine_init "$1" "$2") || init=$launcher
  kill -KILL "$init" 2>/dev/null || true
  while [[ /proc/$launcher/ns/net -ef /run/netns/$2 ]]; do sleep 0.02; done
  rm -f "$RUN_DIR/$1.pid"
}

# enter_machine NAME NETNS COMMAND...: a shell on the machine's console, so to speak.
enter_machine() {
  local init
  init=$(machine_init "$1" "$2") || die "$1 is off"
  shift 2
  nsenter --target "$init" --all -- "$@"
}

# supervise NAME COMMAND...: for use by a machine's PID 1. Keep COMMAND running, as
# a service manager would. Its output goes to a log file of its own.
supervise() {
  local name=$1
  shift
  (
    while true; do
      "$@" >>"$MACHINE_LOG_DIR/$name.log" 2>&1 || true
      printf '%(%FT%T)T %s ended; starting it again\n' -1 "$name"
      sleep 0.5
    done
  ) &
}

# reap_forever: what a PID 1 does for the rest of its life.
reap_forever() {
  while true; do
    wait -n || sleep 1
  done
}
