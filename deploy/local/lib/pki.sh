# shellcheck shell=bash
# The cluster's certificates and kubeconfig files, made with openssl in about a
# second. One CA signs everything except the front proxy's client certificate,
# which Kubernetes wants from a CA of its own. Sourced after settings.sh.

PKI_DAYS=365

# make_pki API_PORT: everything in $PKI_DIR and $KUBECONFIG_DIR.
make_pki() {
  local api_port=$1 node name
  local in_cluster=https://$CONTROL_PLANE_IP:6443
  mkdir -p "$PKI_DIR" "$KUBECONFIG_DIR"
  chmod 700 "$PKI_DIR" "$KUBECONFIG_DIR"

  make_ca ca "$CLUSTER-ca"
  make_ca front-proxy-ca "$CLUSTER-front-proxy-ca"
  openssl genrsa -out "$PKI_DIR/service-account.key" 2048 2>/dev/null
  openssl rsa -in "$PKI_DIR/service-account.key" -pubout -out "$PKI_DIR/service-account.pub" 2>/dev/null

  local api_names=DNS:localhost,IP:127.0.0.1,IP:$CONTROL_PLANE_IP,IP:$API_SERVICE_IP
  for name in kubernetes kubernetes.default kubernetes.default.svc kubernetes.default.svc.cluster.local; do
    api_names+=,DNS:$name
  done
  make_cert apiserver ca serverAuth /CN=kube-apiserver "$api_names"
  make_cert apiserver-kubelet-client ca clientAuth /O=system:masters/CN=kube-apiserver-kubelet-client
  make_cert front-proxy-client front-proxy-ca clientAuth /CN=front-proxy-client

  # Clients. "admin" is the only one that comes from the host, over loopback.
  make_client admin "/O=system:masters/CN=admin" "https://127.0.0.1:$api_port"
  make_kubeconfig admin-internal admin "$in_cluster"
  make_client controller-manager /CN=system:kube-controller-manager "$in_cluster"
  make_client scheduler /CN=system:kube-scheduler "$in_cluster"
  make_client kube-proxy /CN=system:kube-proxy "$in_cluster"
  make_client coredns /CN=coredns "$in_cluster"
  make_client local-path-provisioner /CN=local-path-provisioner "$in_cluster"
  for ((node = 1; node <= MAX_NODES; node++)); do
    name=$(node_name "$node")
    make_client "$name" "/O=system:nodes/CN=system:node:$name" "$in_cluster"
    make_cert "$name-serving" ca serverAuth "/O=system:nodes/CN=system:node:$name" \
      "DNS:$name,IP:$(node_ip "$node")"
  done
}

# make_ca FILE COMMON_NAME
make_ca() {
  openssl ecparam -name prime256v1 -genkey -noout -out "$PKI_DIR/$1.key"
  openssl req -x509 -new -key "$PKI_DIR/$1.key" -subj "/CN=$2" -days "$PKI_DAYS" \
    -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature -out "$PKI_DIR/$1.crt"
}

# make_cert FILE CA USAGE SUBJECT [NAMES]
make_cert() {
  local file=$PKI_DIR/$1 ca=$PKI_DIR/$2 usage=$3 subject=$4 names=${5:-}
  local extensions="basicConstraints=CA:FALSE
keyUsage=digitalSignature,keyEncipherment
extendedKeyUsage=$usage"
  [[ -z $names ]] || extensions+="
subjectAltName=$names"
  openssl ecparam -name prime256v1 -genkey -noout -out "$file.key"
  openssl req -new -key "$file.key" -subj "$subject" |
    openssl x509 -req -CA "$ca.crt" -CAkey "$ca.key" -CAcreateserial -days "$PKI_DAYS" \
      -extfile <(printf '%s\n' "$extensions") -out "$file.crt" 2>/dev/null
}

# make_client NAME SUBJECT SERVER: a client certificate and its kubeconfig.
make_client() {
  make_cert "$1" ca clientAuth "$2"
  make_kubeconfig "$1" "$1" "$3"
}

# make_kubeconfig NAME CERT SERVER
make_kubeconfig() {
  cat >"$KUBECONFIG_DIR/$1.yaml" <<YAML
apiVersion: v1
kind: Config
clusters:
  - name: $CLUSTER
    cluster:
      server: $3
      certificate-authority-data: $(base64 -w0 "$PKI_DIR/ca.crt")
users:
  - name: $2
    user:
      client-certificate-data: $(base64 -w0 "$PKI_DIR/$2.crt")
      client-key-data: $(base64 -w0 "$PKI_DIR/$2.key")
contexts:
  - name: $CLUSTER
    context: {cluster: $CLUSTER, user: $2}
current-context: $CLUSTER
YAML
  chmod 600 "$KUBECONFIG_DIR/$1.yaml"
}
