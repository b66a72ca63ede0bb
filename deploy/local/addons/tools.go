//go:build tools

// Package addons locks the versions of the programs that run beside Kubernetes
// in the local cluster. local-path-provisioner is built straight from its own
// main package; this import keeps it in go.mod.
package addons

import _ "github.com/rancher/local-path-provisioner"
