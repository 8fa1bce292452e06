// Package kube runs Lanyard in a Kubernetes of two real nodes. `make test-kube` starts the cluster, runs the tests inside its
// namespaces and ends it (test/kube/cluster). A test takes a namespace of its own, applies manifests, and asks of the
// cluster what a person would ask with kubectl; `lanyard server` listens on an address of the nodes' network.
package kube
