// istiod, its agent and an endpoint picker that counts in one program, which is one of them by the name that it is started by:
// most of a build is what all are made of, and linking it once saves minutes.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"cluster/istio/epp"

	meshconfig "istio.io/api/mesh/v1alpha1"
	agent "istio.io/istio/pilot/cmd/pilot-agent/app"
	discovery "istio.io/istio/pilot/cmd/pilot-discovery/app"
	istioagent "istio.io/istio/pkg/istio-agent"
	"istio.io/istio/pkg/log"
	"istio.io/istio/pkg/security"
	"istio.io/istio/security/pkg/nodeagent/sds"
)

func main() {
	name := filepath.Base(os.Args[0])
	if name == "counting-epp" {
		epp.Main()
		return
	}
	log.EnableKlogWithCobra()
	root := discovery.NewRootCommand()
	switch name {
	case "pilot-discovery":
	case "pilot-agent":
		root = agent.NewRootCommand(certificates)
	default:
		fmt.Fprintf(os.Stderr, "started as %q; allowed: pilot-discovery, pilot-agent, counting-epp\n", name)
		os.Exit(2)
	}
	if err := root.Execute(); err != nil {
		log.Error(err)
		os.Exit(1)
	}
}

// certificates is the agent's own server of certificates, from which Envoy has them.
func certificates(options *security.Options, cache security.SecretManager, keys *meshconfig.PrivateKeyProvider) istioagent.SDSService {
	return sds.NewServer(options, cache, keys)
}
