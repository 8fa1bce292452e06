package directory

import (
	"crypto/rand"
	"net/netip"
	"net/url"
	"regexp"

	"github.com/openlanyard/lanyard/fault"
)

// AWSAccount says of an account that its roles are those of the AWS account with the same number: pods get their credentials
// from AWS's STS. What the account has here beside that, its users, policies and the roles of its clusters, is good at
// Lanyard's doors only.
type AWSAccount struct {
	Region     string // of the STS that is asked, and what pods are told
	Endpoint   string // of another STS; "" is AWS's of the region
	ExternalID string // begins the external id by which roles of the account know this account of this Lanyard
	Unverified bool   // roles are not tried before they are associated
}

var awsRegion = regexp.MustCompile(`^[a-z]{2,3}(-[a-z]+){1,3}-[0-9]{1,2}$`)

func (a *AWSAccount) check() error {
	if !awsRegion.MatchString(a.Region) {
		return fault.New(fault.Invalid, "aws.region %.100q: a region of AWS is accepted, like us-east-1", a.Region)
	}
	if a.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(a.Endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(a.Endpoint) > 255 ||
		u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())) {
		return fault.New(fault.Invalid, "aws.endpoint %.100q: an https URL is accepted, or an http URL of a loopback address: pods' credentials come from there", a.Endpoint)
	}
	return nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// newExternalID is drawn for each account that is made: a role that asks for it cannot be reached from another account, of
// this Lanyard or another, that names the same AWS account (https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html).
func newExternalID() string { return "lanyard-" + rand.Text() }

// Backing returns what stands behind the account; nil: Lanyard itself, or there is no such account.
func (d *Directory) Backing(account string) (*AWSAccount, error) {
	a, ok, err := d.accounts.Get(account)
	if err != nil || !ok {
		return nil, err
	}
	return a.AWS, nil
}

// CheckManaged refuses with kind Unsupported to manage a role that Lanyard does not: one of an AWS account's own.
func (d *Directory) CheckManaged(account, role string) error {
	backing, err := d.Backing(account)
	if err != nil || backing == nil {
		return err
	}
	if _, here, err := d.roles.Get(nameKey(account, role)); here || err != nil {
		return err
	}
	return fault.New(fault.Unsupported, "Roles of account %s are those of AWS, which Lanyard does not manage: use the AWS console, or `aws iam` "+
		"with credentials of AWS and without Lanyard's endpoint, for the role %s.", account, role)
}
