// Package connector is the cluster's side of the wire: the admission webhook of pods, and what keeps it and the
// cluster's share of Lanyard's records current. It reaches out to the server; nothing reaches in but the API server.
package connector
