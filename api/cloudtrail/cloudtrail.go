// Package cloudtrail is the door that speaks CloudTrail's wire. No operation is built yet: what is asked is refused in
// CloudTrail's own shape (https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/Welcome.html).
package cloudtrail

import "github.com/openlanyard/lanyard/api"

// Errors is CloudTrail's table of codes.
var Errors = api.JSONErrors(nil)

// New returns the door.
func New() *api.Door {
	return api.JSON("cloudtrail", "cloudtrail.amazonaws.com", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101", Errors, nil).
		Knows("DescribeTrails", "GetTrailStatus", "LookupEvents")
}
