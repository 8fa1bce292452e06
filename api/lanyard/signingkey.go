package lanyard

import (
	"context"
	"encoding/base64"
	"regexp"
	"time"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/sigv4"
)

type signingKeyRequest struct {
	AccessKeyID string `json:"accessKeyId"`
	Date        string `json:"date"` // YYYYMMDD
	Region      string `json:"region"`
}

type signingKeyResponse struct {
	SigningKey string `json:"signingKey"`
}

var scopeRegion = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// getSigningKey answers what a gateway verifies a long-term key's requests with, in the secret's place: good for S3 alone, in
// one region and for one day. A presigned URL is used up to seven days after its day, so the days before are answered as well.
func (d *door) getSigningKey(_ context.Context, c *api.Call) (any, error) {
	in, err := api.Decode[signingKeyRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = map[string]any{"accessKeyId": in.AccessKeyID, "date": in.Date, "region": in.Region}
	key, err := d.ownKey(c, in.AccessKeyID)
	if err != nil {
		return nil, err
	}
	if !isRecent(in.Date, c.Started) || !scopeRegion.MatchString(in.Region) {
		return nil, fault.New(fault.Invalid, "date %.20q and region %.100q: a date of the last seven days as YYYYMMDD (it is %s) and a region's name are accepted",
			in.Date, in.Region, c.Started.UTC().Format(dateForm))
	}
	if !private(c.Request) {
		return nil, fault.New(fault.Unsupported, "A signing key is told over TLS, and without it on a loopback address alone.")
	}
	derived := sigv4.Derive(string(key.Secret), in.Date, in.Region, "s3")
	return signingKeyResponse{base64.StdEncoding.EncodeToString(derived[:])}, nil
}

// ownKey returns an active access key of the caller's account, after asking whether the caller may have it. A key that is not
// there is asked for as one of every user, so that only who may have all learns that it is not.
func (d *door) ownKey(c *api.Call, id string) (*directory.AccessKey, error) {
	const action = "lanyard:GetSigningKey"
	key, user, err := d.directory.AccessKey(id)
	if err == nil && (key.Account != c.Caller.Account || !key.Active) {
		err = fault.New(fault.NotFound, "the access key %.100q does not exist", id)
	}
	resource := arn.User(c.Caller.Account, "/", "*").String()
	if err == nil {
		resource = user.ARN().String()
	}
	if denied := c.Authorize(action, resource); denied != nil {
		return nil, denied
	}
	return key, err
}

const dateForm = "20060102"

// presigned is how long a presigned URL may be good.
const presigned = 7 * 24 * time.Hour

// isRecent reports whether a signature of the date can be good now, for clocks not further apart than they may be.
func isRecent(date string, now time.Time) bool {
	day, err := time.Parse(dateForm, date)
	return err == nil && !day.After(now.Add(sigv4.MaxSkew)) && day.Add(24*time.Hour).After(now.Add(-presigned-sigv4.MaxSkew))
}
