package gateway

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// checkDomains holds the base domains of virtual-host style against what a Host header can match.
func checkDomains(domains []string) error {
	for _, domain := range domains {
		_, err := netip.ParseAddr(domain)
		if err == nil || !isDomain(domain) {
			return fmt.Errorf("the gateway's domain %q: a name like s3.example.com is accepted, in lower case and without a port", domain)
		}
	}
	return nil
}

func isDomain(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

// pathOf returns a request's path in path style, escaped. In virtual-host style
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html) the bucket is what the Host header has before
// one of the domains; every other host, and an address, is path style. The signature is over host and path as they came.
func (g *Gateway) pathOf(r *http.Request) (string, error) {
	path := r.URL.EscapedPath()
	if len(g.config.Domains) == 0 {
		return path, nil
	}
	host, err := hostname(r.Host)
	if err != nil {
		return "", err
	}
	bucketName := ""
	for _, domain := range g.config.Domains {
		if host == domain {
			return path, nil
		}
		// Of two domains that fit, one within the other, the inner one is meant.
		if before, found := strings.CutSuffix(host, "."+domain); found && (bucketName == "" || len(before) < len(bucketName)) {
			bucketName = before
		}
	}
	switch {
	case bucketName == "" && !strings.HasPrefix(host, "."):
		return path, nil
	case !validBucket(bucketName):
		return "", refuse(invalidBucketName, "%q is not a bucket name: 3 to 63 lower-case letters, digits, hyphens and dots are accepted", bucketName)
	case !strings.HasPrefix(path, "/"):
		return "", refuse(invalidURI, "the path %q does not begin with a slash", path)
	}
	return "/" + bucketName + path, nil
}

// hostname returns the name in a Host header, in lower case and without the dot that makes it absolute.
func hostname(hostport string) (string, error) {
	host := hostport
	if strings.Contains(hostport, ":") {
		name, port, err := net.SplitHostPort(hostport)
		if err != nil && strings.HasPrefix(hostport, "[") && strings.HasSuffix(hostport, "]") {
			return hostport, nil // an address of IPv6 without a port
		}
		if _, wrong := strconv.ParseUint(port, 10, 16); err != nil || wrong != nil {
			return "", refuse(invalidRequest, "the Host header %.255q: NAME or NAME:PORT is accepted", hostport)
		}
		host = name
	}
	return strings.TrimSuffix(strings.ToLower(host), "."), nil
}
