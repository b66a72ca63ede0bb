# shellcheck shell=bash disable=SC2034  # these are read by the scripts that source this
# What the cluster looks like: names, addresses, folders. Sourced after common.sh.

CLUSTER=${KUDU_PAIR_CLUSTER:-kudu-pair}
# Twelve characters plus "-cp" or "-n1" keep every derived name within the kernel's 15.
[[ $CLUSTER =~ ^[a-z][a-z0-9-]{0,11}$ ]] ||
  die "KUDU_PAIR_CLUSTER must be 1-12 of a-z, 0-9 and '-', starting with a letter: $CLUSTER"

MAX_NODES=3
PROXY_MODE=${PROXY_MODE:-iptables}

# Programs and images, shared by all clusters; and the state of this cluster.
BIN_DIR=$CACHE_DIR/bin
IMAGE_DIR=$CACHE_DIR/images
STATE_DIR=$CACHE_DIR/clusters/$CLUSTER
PKI_DIR=$STATE_DIR/pki
KUBECONFIG_DIR=$STATE_DIR/kubeconfig
RUN_DIR=$STATE_DIR/run # pids and flags of what runs now
LOG_DIR=$STATE_DIR/logs
ADMIN_KUBECONFIG=$KUBECONFIG_DIR/admin.yaml

# The addresses exist only inside the cluster's network namespaces, so that two
# clusters, or a cluster and the host's own network, never meet.
CONTROL_PLANE_IP=10.80.0.1
NODE_CIDR=10.80.0.0/24
POD_CIDR=10.81.0.0/16
SERVICE_CIDR=10.82.0.0/16
API_SERVICE_IP=10.82.0.1
DNS_SERVICE_IP=10.82.0.10

node_name() { printf 'node%d' "$1"; }
node_ip() { printf '10.80.0.%d' $((10 + $1)); }
node_mac() { printf '02:00:0a:50:00:%02x' $((10 + $1)); }
node_pod_cidr() { printf '10.81.%d.0/24' "$1"; }
node_dir() { printf '%s/nodes/%s' "$STATE_DIR" "$(node_name "$1")"; }

CONTROL_PLANE_NETNS=$CLUSTER-cp
CONTROL_PLANE_MAC=02:00:0a:50:00:01
node_netns() { printf '%s-n%d' "$CLUSTER" "$1"; }

# Inside a node. The kubelet has this path built in, so the folder has to exist on
# the host; it stays empty there, since the node's own is mounted over it.
KUBELET_DIR=/var/lib/kubelet
VOLUME_DIR=$KUBELET_DIR/local-path

# The two images that Kubernetes itself needs here; every node imports them at boot.
PAUSE_IMAGE=kudu-pair/pause:1
BUSYBOX_IMAGE=kudu-pair/busybox:1

# render FILE: print FILE with every @NAME@ replaced by the shell variable NAME.
render() {
  local text name
  text=$(<"$1")
  while [[ $text =~ @([A-Z_]+)@ ]]; do
    name=${BASH_REMATCH[1]}
    text=${text//"@$name@"/"${!name}"}
  done
  printf '%s\n' "$text"
}
