// Package cloudtrail is the door that speaks CloudTrail's wire, as far as its event history goes
// (https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html). The history is the index of the audit.
package cloudtrail

import (
	"net/http"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/trail"
)

// Errors is CloudTrail's table of codes.
var Errors = api.JSONErrors(nil)

// lookupErrors are the codes of LookupEvents, which has one for each member that may be wrong.
var lookupErrors = api.Errors{
	fault.Invalid:     {Name: "InvalidLookupAttributesException", Status: http.StatusBadRequest},
	fault.BadState:    {Name: "InvalidTimeRangeException", Status: http.StatusBadRequest},
	fault.Limit:       {Name: "InvalidMaxResultsException", Status: http.StatusBadRequest},
	fault.BadToken:    {Name: "InvalidNextTokenException", Status: http.StatusBadRequest},
	fault.Unsupported: {Name: "InvalidEventCategoryException", Status: http.StatusBadRequest},
}

type door struct {
	index *trail.Index
	turns *limit.Turns
}

// New returns the door.
func New(index *trail.Index) *api.Door {
	d := &door{index, limit.NewQuestions(atOnce)}
	return api.JSON("cloudtrail", "cloudtrail.amazonaws.com", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101", Errors, []api.Operation{
		{Name: "LookupEvents", ReadOnly: true, Serve: d.lookupEvents, Errors: lookupErrors},
	}).Knows("DescribeTrails", "GetTrailStatus", "LookupEvents")
}
