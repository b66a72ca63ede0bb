//go:build tools

// Package helm locks the version of Helm, and of all that it is built from.
package helm

import _ "helm.sh/helm/v3/cmd/helm"
