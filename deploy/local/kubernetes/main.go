// Command kubeall holds etcd, kubectl and every control-plane and node program
// of Kubernetes in one static binary.
//
// Linked one by one, the same programs take 486 MB and six link steps; together
// they share their code and take 141 MB. The program to run is picked by the
// name that the binary is called under, so that a symbolic link
// "kube-apiserver -> kubeall" behaves as the upstream kube-apiserver does.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	// What the upstream main packages register by import.
	_ "time/tzdata"

	_ "k8s.io/client-go/plugin/pkg/client/auth"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

// programs maps the name that the binary is called under to what it then runs.
// Each function returns the exit status of the process.
var programs = map[string]func() int{
	"etcd": func() int {
		etcdmain.Main(os.Args) // exits by itself on failure
		return 0
	},
	"kube-apiserver": func() int {
		return cli.Run(apiserver.NewAPIServerCommand())
	},
	"kube-controller-manager": func() int {
		return cli.Run(controllermanager.NewControllerManagerCommand())
	},
	"kube-scheduler": func() int {
		return cli.Run(scheduler.NewSchedulerCommand())
	},
	"kubelet": func() int {
		return cli.Run(kubelet.NewKubeletCommand(context.Background()))
	},
	"kube-proxy": func() int {
		return cli.Run(proxy.NewProxyCommand())
	},
	"kubectl": func() int {
		// kubectl reads its verbosity before its flags are parsed, as upstream's main does.
		if _, err := logs.GlogSetter(cmd.GetLogVerbosity(os.Args)); err != nil {
			fmt.Fprintln(os.Stderr, "kubectl: cannot set the log level:", err)
		}
		if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
			util.CheckErr(err) // prints and exits with kubectl's own status
		}
		return 0
	},
}

func main() {
	program, known := programs[filepath.Base(os.Args[0])]
	if !known {
		names := make([]string, 0, len(programs))
		for name := range programs {
			names = append(names, name)
		}
		sort.Strings(names)
		fmt.Fprintln(os.Stderr, "kubeall: call me by a link named one of:", strings.Join(names, ", "))
		os.Exit(2)
	}
	os.Exit(program())
}
