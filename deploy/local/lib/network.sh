# shellcheck shell=bash
# The cluster's network: one namespace for the control plane, with a bridge in it
# that plays the LAN's switch, and one namespace per node, plugged in by a veth
# pair. Nothing is attached to the host's own network and no namespace has a
# default route, so no packet can leave. Sourced after settings.sh.
#
# Every machine on the LAN knows every other's MAC address by a permanent
# neighbour entry. A machine that is off is therefore plain silence, as it is
# behind a router; with ARP, the kernel would answer "no route to host" after
# three seconds, and hide the very case that fail-over tests are after.

in_netns() {
  local netns=$1
  shift
  # Not `ip netns exec`: that mounts a new /sys, which hides /sys/fs/cgroup.
  nsenter --net="/run/netns/$netns" -- "$@"
}

in_control_plane() { in_netns "$CONTROL_PLANE_NETNS" "$@"; }

netns_exists() { [[ -e /run/netns/$1 ]]; }

# The switch's port of a node, seen in the control plane's namespace.
node_port() { printf 'port-n%d' "$1"; }

# add_neighbours NETNS INTERFACE: everyone else on the LAN, for good.
add_neighbours() {
  local node
  in_netns "$1" ip neigh replace "$CONTROL_PLANE_IP" lladdr "$CONTROL_PLANE_MAC" dev "$2" nud permanent
  for ((node = 1; node <= MAX_NODES; node++)); do
    in_netns "$1" ip neigh replace "$(node_ip "$node")" lladdr "$(node_mac "$node")" dev "$2" nud permanent
  done
}

create_control_plane_network() {
  local node
  ip netns add "$CONTROL_PLANE_NETNS"
  in_control_plane ip link set lo up
  in_control_plane ip link add lan0 address "$CONTROL_PLANE_MAC" type bridge
  in_control_plane ip addr add "$CONTROL_PLANE_IP/${NODE_CIDR#*/}" dev lan0
  in_control_plane ip link set lan0 up
  add_neighbours "$CONTROL_PLANE_NETNS" lan0
  # Pods can be reached from here: the API server calls webhooks at pod addresses.
  for ((node = 1; node <= MAX_NODES; node++)); do
    in_control_plane ip route add "$(node_pod_cidr "$node")" via "$(node_ip "$node")"
  done
}

# create_node_network NODE: the node's namespace, its cable and its routes.
create_node_network() {
  local node=$1 netns port ip other
  netns=$(node_netns "$node") port=$(node_port "$node") ip=$(node_ip "$node")
  ip netns add "$netns"
  in_netns "$netns" ip link set lo up
  in_control_plane ip link add "$port" type veth peer name "cable$node" address "$(node_mac "$node")"
  in_control_plane ip link set "cable$node" netns "/run/netns/$netns" name eth0
  in_control_plane ip link set "$port" master lan0 up
  in_netns "$netns" ip addr add "$ip/${NODE_CIDR#*/}" dev eth0
  in_netns "$netns" ip link set eth0 up
  add_neighbours "$netns" eth0
  # Without this route a process on the node itself gets "network unreachable" for
  # a service address before kube-proxy's rules can rewrite it.
  in_netns "$netns" ip route add "$SERVICE_CIDR" dev eth0 src "$ip"
  for ((other = 1; other <= MAX_NODES; other++)); do
    [[ $other -eq $node ]] || in_netns "$netns" ip route add "$(node_pod_cidr "$other")" via "$(node_ip "$other")"
  done
}

# Pull and plug the node's cable. The node's own side sees the carrier go, too.
set_node_link() { in_control_plane ip link set "$(node_port "$1")" "$2"; }

node_link_state() {
  if in_control_plane ip -oneline link show up 2>/dev/null | grep -q " $(node_port "$1")@"; then
    echo up
  else
    echo down
  fi
}

# delete_node_network NODE: also ends what is left in the node's kernel-side
# network: sockets that still wait, connection tracking, firewall rules.
delete_node_network() {
  if netns_exists "$CONTROL_PLANE_NETNS"; then
    in_control_plane ip link del "$(node_port "$1")" 2>/dev/null || true
  fi
  delete_netns "$(node_netns "$1")"
}

delete_netns() { ! netns_exists "$1" || ip netns del "$1"; }
