package clients

import (
	"encoding/json"
	"os"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const (
	goTrailRole = "trail-go"
	goTrailARN  = "arn:aws:iam::111122223333:role/" + goTrailRole
)

// goTrail is the event history, as the administrator and as that of another account.
var goTrail = []goCase{
	{"LookupEvents by EventName", func(c *goClient) {
		_, err := c.iam().CreateRole(c, &iam.CreateRoleInput{RoleName: aws.String(goTrailRole), AssumeRolePolicyDocument: aws.String(trustAccount)})
		if !c.good("CreateRole", err) {
			return
		}
		for _, text := range trailChanges {
			_, err := c.iam().UpdateRoleDescription(c, &iam.UpdateRoleDescriptionInput{RoleName: aws.String(goTrailRole), Description: aws.String(text)})
			c.good("UpdateRoleDescription", err)
		}
		c.equal("changes", described(c.history(goLookup("EventName", "UpdateRoleDescription")), goTrailRole), newestFirst)
		in := goLookup("EventName", "x")
		in.LookupAttributes = append(in.LookupAttributes, in.LookupAttributes...)
		_, err = c.trail().LookupEvents(c, in)
		typed[*types.InvalidLookupAttributesException](c, "two attributes", err)
	}},
	{"LookupEvents by ResourceName", func(c *goClient) {
		_, err := c.sts().AssumeRole(c, &sts.AssumeRoleInput{RoleArn: aws.String(goTrailARN), RoleSessionName: aws.String("go")})
		c.good("AssumeRole", err)
		got, err := c.trail().LookupEvents(c, goLookup("ResourceName", goTrailARN))
		if !c.good("LookupEvents", err) || len(got.Events) != 1 {
			c.wrong("got %d events of the role, want 1", len(got.Events))
			return
		}
		e := got.Events[0]
		c.equal("event", []string{*e.EventName, *e.EventSource, *e.ReadOnly, *e.Username}, []string{"AssumeRole", "sts.amazonaws.com", "true", "administrator"})
		c.equal("resources", len(e.Resources), 1)
		c.equal("resource", aws.ToString(e.Resources[0].ResourceName), goTrailARN)
		byName := c.history(goLookup("ResourceName", goTrailRole))
		c.equal("by the name alone", len(byName) == 1 && byName[0].EventID == *e.EventId, true)
		c.equal("of another name", len(c.history(goLookup("ResourceName", goTrailARN+"x"))), 0)
	}},
	{"LookupEvents by pages", func(c *goClient) {
		in := goLookup("EventName", "UpdateRoleDescription")
		in.MaxResults = aws.Int32(1)
		found := c.history(in)
		c.equal("changes", described(found, goTrailRole), newestFirst)
		ids := map[string]bool{}
		for _, r := range found {
			ids[r.EventID] = true
		}
		c.equal("events of all pages", len(ids), len(found))
		_, err := c.trail().LookupEvents(c, &cloudtrail.LookupEventsInput{NextToken: aws.String("x")})
		typed[*types.InvalidNextTokenException](c, "another token", err)
	}},
	{"LookupEvents by time", func(c *goClient) {
		role, err := c.iam().GetRole(c, &iam.GetRoleInput{RoleName: aws.String(goTrailRole)})
		if !c.good("GetRole", err) {
			return
		}
		made := role.Role.CreateDate.Truncate(time.Second)
		before, after := aws.Time(made.Add(-time.Minute)), aws.Time(made.Add(time.Minute)) // the event is of the call's beginning, perhaps in a second of before
		has := func(from, to *time.Time) bool {
			in := goLookup("EventName", "CreateRole")
			in.StartTime, in.EndTime = from, to
			return slices.Contains(roleNames(c.history(in)), goTrailRole)
		}
		c.equal("within, before, after", []bool{has(before, after), has(nil, before), has(after, nil)}, []bool{true, false, false})
		_, err = c.trail().LookupEvents(c, &cloudtrail.LookupEventsInput{StartTime: after, EndTime: before})
		typed[*types.InvalidTimeRangeException](c, "backwards", err)
	}},
	{"LookupEvents of another account", func(c *goClient) {
		theirs := goTrailRole + "-theirs"
		other := *c
		other.wrongs = nil
		other.aws.Credentials = credentials.NewStaticCredentialsProvider(os.Getenv("TRIED_OTHER_ID"), os.Getenv("TRIED_OTHER_SECRET"), "")
		_, err := other.iam().CreateRole(c, &iam.CreateRoleInput{RoleName: aws.String(theirs), AssumeRolePolicyDocument: aws.String(trust)})
		c.good("CreateRole", err)
		for _, tt := range []struct {
			as                  *goClient
			account, have, lack string
		}{
			{&other, os.Getenv("TRIED_OTHER_ACCOUNT"), theirs, goTrailRole},
			{c, "111122223333", goTrailRole, theirs},
		} {
			found := tt.as.history(goLookup("EventName", "CreateRole"))
			for _, r := range found {
				c.equal("account of an event", r.RecipientAccountID, tt.account)
			}
			names := roleNames(found)
			c.equal("own and other's", []bool{slices.Contains(names, tt.have), slices.Contains(names, tt.lack)}, []bool{true, false})
		}
		c.equal("our role, by the other account", len(other.history(goLookup("ResourceName", goTrailARN))), 0)
		c.wrongs = append(c.wrongs, other.wrongs...)
	}},
}

// What each client writes on its own role, and how it finds it again.
var (
	trailChanges = []string{"one", "two", "three"}
	newestFirst  = []string{"three", "two", "one"}
)

// trailRecord is what the suite reads of a record.
type trailRecord struct {
	EventID, RecipientAccountID string
	RequestParameters           struct{ RoleName, Description string }
}

func (c *goClient) trail() *cloudtrail.Client { return cloudtrail.NewFromConfig(c.aws) }

func goLookup(attribute, value string) *cloudtrail.LookupEventsInput {
	return &cloudtrail.LookupEventsInput{LookupAttributes: []types.LookupAttribute{
		{AttributeKey: types.LookupAttributeKey(attribute), AttributeValue: aws.String(value)},
	}}
}

// history reads all pages, newest first.
func (c *goClient) history(in *cloudtrail.LookupEventsInput) (found []trailRecord) {
	pages := cloudtrail.NewLookupEventsPaginator(c.trail(), in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(c)
		if !c.good("a page", err) {
			return found
		}
		for _, e := range page.Events {
			var r trailRecord
			c.good("a record", json.Unmarshal([]byte(aws.ToString(e.CloudTrailEvent)), &r))
			found = append(found, r)
		}
	}
	return found
}

func described(found []trailRecord, role string) (texts []string) {
	for _, r := range found {
		if r.RequestParameters.RoleName == role {
			texts = append(texts, r.RequestParameters.Description)
		}
	}
	return texts
}

func roleNames(found []trailRecord) (names []string) {
	for _, r := range found {
		names = append(names, r.RequestParameters.RoleName)
	}
	return names
}
