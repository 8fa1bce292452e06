package clients

import (
	"encoding/json"
	"slices"
	"time"
)

const (
	cliTrailRole = "trail-" + awsCLI
	cliTrailARN  = "arn:aws:iam::111122223333:role/" + cliTrailRole
)

// cliTrail is the event history, as the administrator and as that of another account.
var cliTrail = []cliCase{
	{"LookupEvents by EventName", func(c cli) {
		c.ok("iam create-role --role-name "+cliTrailRole+" --assume-role-policy-document", trustAccount)
		for _, text := range trailChanges {
			c.ok("iam update-role-description --role-name " + cliTrailRole + " --description " + text)
		}
		c.changes(c.history("EventName", "UpdateRoleDescription"))
		c.refused("InvalidLookupAttributesException", "one is accepted", "cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue=x AttributeKey=ReadOnly,AttributeValue=true")
	}},
	{"LookupEvents by ResourceName", func(c cli) {
		c.ok("sts assume-role --role-session-name cli --role-arn " + cliTrailARN)
		lookup := "cloudtrail lookup-events --output text --lookup-attributes AttributeKey=ResourceName,AttributeValue="
		const shown = " --query Events[].[EventName,EventSource,ReadOnly,Username,Resources[0].ResourceName]"
		want := "AssumeRole\tsts.amazonaws.com\ttrue\tadministrator\t" + cliTrailARN
		c.equal("by the ARN", c.ok(lookup+cliTrailARN+shown), want)
		c.equal("by the name", c.ok(lookup+cliTrailRole+shown), want)
		c.equal("of another name", c.ok(lookup+cliTrailARN+"x"+shown), "")
	}},
	{"LookupEvents by pages", func(c cli) {
		c.changes(c.history("EventName", "UpdateRoleDescription", "--page-size", "1"))
		// With pages of one the token is the server's own; else the CLI would ask for the first page again, which others write to.
		lookup := "cloudtrail lookup-events --page-size 1 --max-items 1 --output json --lookup-attributes AttributeKey=EventName,AttributeValue=UpdateRoleDescription"
		one := func(args ...string) (page struct {
			Events    []struct{ EventID string }
			NextToken string
		},
		) {
			if err := json.Unmarshal([]byte(c.ok(lookup, args...)), &page); err != nil || len(page.Events) != 1 || page.NextToken == "" {
				c.t.Fatalf("a page of one: %+v (%v), want an event and a token", page, err)
			}
			return page
		}
		if first := one(); first.Events[0] == one("--starting-token", first.NextToken).Events[0] {
			c.t.Errorf("after the event %s comes the same", first.Events[0].EventID)
		}
		c.refused("InvalidMaxResultsException", "1 to 50", "cloudtrail lookup-events --no-paginate --max-results 51")
	}},
	{"LookupEvents by time", func(c cli) {
		text := c.ok("iam get-role --output text --query Role.CreateDate --role-name " + cliTrailRole)
		made, err := time.Parse(time.RFC3339, text)
		if err != nil {
			c.t.Fatal(err)
		}
		made = made.Truncate(time.Second)
		// The event is of the call's beginning, which may be in a second of before.
		before, after := made.Add(-time.Minute).Format(time.RFC3339), made.Add(time.Minute).Format(time.RFC3339)
		for _, tt := range []struct {
			times []string
			want  bool
		}{
			{[]string{"--start-time", before, "--end-time", after}, true},
			{[]string{"--end-time", before}, false},
			{[]string{"--start-time", after}, false},
		} {
			if got := slices.Contains(roleNames(c.history("EventName", "CreateRole", tt.times...)), cliTrailRole); got != tt.want {
				c.t.Errorf("%q has the role's making: %v, want %v", tt.times, got, tt.want)
			}
		}
		c.refused("InvalidTimeRangeException", "", "cloudtrail lookup-events --start-time "+after+" --end-time "+before)
	}},
	{"LookupEvents of another account", func(c cli) {
		theirs := cliTrailRole + "-theirs"
		other := cli{c.t, c.as.with("AWS_ACCESS_KEY_ID="+here.other.id, "AWS_SECRET_ACCESS_KEY="+here.other.secret)}
		other.ok("iam create-role --role-name "+theirs+" --assume-role-policy-document", trust)
		for _, tt := range []struct {
			as                  cli
			account, have, lack string
		}{
			{other, here.other.account, theirs, cliTrailRole},
			{c, "111122223333", cliTrailRole, theirs},
		} {
			found := tt.as.history("EventName", "CreateRole")
			for _, r := range found {
				c.equal("account of an event", r.RecipientAccountID, tt.account)
			}
			if names := roleNames(found); !slices.Contains(names, tt.have) || slices.Contains(names, tt.lack) {
				c.t.Errorf("account %s sees the making of %q, want %s and not %s", tt.account, names, tt.have, tt.lack)
			}
		}
		if found := other.history("ResourceName", cliTrailARN); len(found) != 0 {
			c.t.Errorf("the other account sees %d events of our role", len(found))
		}
	}},
}

// history reads the records of an attribute, newest first.
func (c cli) history(attribute, value string, args ...string) (found []trailRecord) {
	c.t.Helper()
	var texts []string
	words := "cloudtrail lookup-events --output json --query Events[].CloudTrailEvent --lookup-attributes AttributeKey=" + attribute + ",AttributeValue=" + value
	if err := json.Unmarshal([]byte(c.ok(words, args...)), &texts); err != nil {
		c.t.Fatal(err)
	}
	for _, text := range texts {
		var r trailRecord
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			c.t.Fatalf("%s: %v", text, err)
		}
		found = append(found, r)
	}
	return found
}

// changes holds what was written on the role against the order in which it was.
func (c cli) changes(found []trailRecord) {
	c.t.Helper()
	if texts := described(found, cliTrailRole); !slices.Equal(texts, newestFirst) {
		c.t.Errorf("the role's changes are %q, want %q", texts, newestFirst)
	}
}
