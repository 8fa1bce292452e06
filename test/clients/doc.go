// Package clients drives a running `lanyard dev` with other people's clients: the aws CLI, boto3 and the AWS SDK for Go.
// They come by their default chains, as pods and as the administrator, and what each of them tried is the table that
// docs/COMPATIBILITY.md cites. `make clients` runs it, in a network namespace where only loopback is up.
package clients
