// Package cloudtrail is the door that speaks CloudTrail's wire, as far as its event history goes
// (https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html). The history is the audit log.
package cloudtrail

import (
	"net/http"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/fault"
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
	log  *audit.Log
	turn chan struct{} // who looks through the log has it
}

// New returns the door.
func New(log *audit.Log) *api.Door {
	d := &door{log, make(chan struct{}, 1)}
	return api.JSON("cloudtrail", "cloudtrail.amazonaws.com", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101", Errors, []api.Operation{
		{Name: "LookupEvents", ReadOnly: true, Serve: d.lookupEvents, Errors: lookupErrors},
	}).Knows("DescribeTrails", "GetTrailStatus", "LookupEvents")
}
