# shellcheck shell=bash
# Everything that the cluster consists of, built from Go modules with locked
# versions and from Debian's packages. Sourced after settings.sh.

CLUSTER_PACKAGES=(
  containerd runc containernetworking-plugins # each node
  iptables nftables ipset conntrack           # kube-proxy; and conntrack for tests
  iproute2 procps socat openssl kmod          # the machines and their network
  buildah mmdebstrap busybox-static           # images
)

KUBERNETES_PROGRAMS=(etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)

# build_everything: all steps, each skipped when its result is there.
build_everything() {
  install_packages "${CLUSTER_PACKAGES[@]}"
  need_command go "install Go 1.26 or later"
  need_command gcc "install gcc"

  local program
  go_step Kubernetes kubernetes k8s.io/kubernetes . kubeall kubernetes_ldflags
  for program in "${KUBERNETES_PROGRAMS[@]}"; do
    ln -sf kubeall "$BIN_DIR/$program"
  done
  go_step CoreDNS addons github.com/coredns/coredns ./coredns coredns plain_ldflags
  go_step local-path-provisioner addons github.com/rancher/local-path-provisioner \
    github.com/rancher/local-path-provisioner local-path-provisioner plain_ldflags
  go_step Helm helm helm.sh/helm/v3 helm.sh/helm/v3/cmd/helm helm helm_ldflags
  "$HERE/images" build pause >/dev/null
  "$HERE/images" build busybox >/dev/null
}

# go_step NAME FOLDER MODULE PACKAGE PROGRAM LDFLAGS: build PACKAGE with the go.mod in
# FOLDER into $BIN_DIR/PROGRAM. MODULE is whose version to show, and to hand to the
# function LDFLAGS.
go_step() {
  local name=$1 folder=$HERE/$2 module=$3 package=$4 program=$5 version ldflags key
  version=$(module_version "$folder" "$module")
  ldflags=$("$6" "$version")
  key=$(hash_of "$folder" "text:$package $ldflags $(go env GOVERSION GOARCH) $(declare -f go_build)")
  step "$name $version" "$BIN_DIR/$program" "$key" go_build "$folder" "$package" "$ldflags"
}

# Without DWARF the compiler is quicker and its cache smaller by a third.
go_build() {
  (cd "$1" && CGO_ENABLED=0 nice go build -mod=readonly -buildvcs=false -trimpath \
    -gcflags=all=-dwarf=false -ldflags "$3" -o "$4" "$2")
}

# module_version FOLDER MODULE: what FOLDER/go.mod requires.
module_version() {
  awk -v module="$2" '$1 == module && $2 ~ /^v/ { print $2 }
                      $1 == "require" && $2 == module { print $3 }' "$1/go.mod"
}

plain_ldflags() { printf '%s' "-s -w"; }

helm_ldflags() { printf '%s' "-s -w -X helm.sh/helm/v3/internal/version.version=$1"; }

# Kubernetes learns its own version from the linker; it is asked for by clients.
kubernetes_ldflags() {
  local package major minor
  IFS=. read -r major minor _ <<<"${1#v}"
  printf '%s' "-s -w"
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    printf ' -X %s' "$package.gitVersion=$1" "$package.gitMajor=$major" "$package.gitMinor=$minor" \
      "$package.gitTreeState=clean" "$package.gitCommit=unknown" "$package.buildDate=2026-01-01T00:00:00Z"
  done
}
