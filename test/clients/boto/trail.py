"""As the administrator: the event history, and that of another account."""

import datetime
import json
import os

from ask import client, equal, refused

ACCOUNT = "111122223333"
NAME = "trail-boto3"
ARN = f"arn:aws:iam::{ACCOUNT}:role/{NAME}"
CHANGES = ("one", "two", "three")


def other(service):
    """A client of another account."""
    return client(service, aws_access_key_id=os.environ["TRIED_OTHER_ID"], aws_secret_access_key=os.environ["TRIED_OTHER_SECRET"])


def records(pages):
    return [json.loads(event["CloudTrailEvent"]) for page in pages for event in page["Events"]]


def named(attribute, value, trail=None, size=50, **more):
    """The records of an attribute, newest first, by pages of a size."""
    attributes = [{"AttributeKey": attribute, "AttributeValue": value}]
    pages = (trail or client("cloudtrail")).get_paginator("lookup_events")
    return records(pages.paginate(LookupAttributes=attributes, PaginationConfig={"PageSize": size}, **more))


def changes(found):
    return [r["requestParameters"]["description"] for r in found if r["requestParameters"]["roleName"] == NAME]


def by_event_name():
    iam = client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName=NAME, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust}))
    for text in CHANGES:
        iam.update_role_description(RoleName=NAME, Description=text)
    equal(changes(named("EventName", "UpdateRoleDescription")), list(reversed(CHANGES)))
    refused("InvalidLookupAttributesException", "one is accepted", client("cloudtrail").lookup_events,
            LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "x"}, {"AttributeKey": "ReadOnly", "AttributeValue": "true"}])


def by_resource_name():
    client("sts").assume_role(RoleArn=ARN, RoleSessionName="boto3")
    attributes = [{"AttributeKey": "ResourceName", "AttributeValue": ARN}]
    (event,) = client("cloudtrail").lookup_events(LookupAttributes=attributes)["Events"]
    equal((event["EventName"], event["EventSource"], event["ReadOnly"], event["Username"]),
          ("AssumeRole", "sts.amazonaws.com", "true", "administrator"))
    equal(event["Resources"], [{"ResourceType": "AWS::IAM::Role", "ResourceName": ARN}])
    equal([r["eventID"] for r in named("ResourceName", NAME)], [event["EventId"]])
    equal(named("ResourceName", ARN + "x"), [])


def by_pages():
    found = named("EventName", "UpdateRoleDescription", size=1)
    equal(changes(found), list(reversed(CHANGES)))
    equal(len({r["eventID"] for r in found}), len(found), "events of all pages")
    refused("InvalidNextTokenException", "", client("cloudtrail").lookup_events, NextToken="x")


def by_time():
    role = client("iam").get_role(RoleName=NAME)["Role"]
    minute = datetime.timedelta(minutes=1)  # the event is of the call's beginning, which may be in a second of before
    made = role["CreateDate"].replace(microsecond=0)

    def has(**times):
        return any(r["requestParameters"]["roleName"] == NAME for r in named("EventName", "CreateRole", **times))

    equal((has(StartTime=made - minute, EndTime=made + minute), has(EndTime=made - minute), has(StartTime=made + minute)), (True, False, False))
    refused("InvalidTimeRangeException", "", client("cloudtrail").lookup_events, StartTime=made, EndTime=made - minute)


def of_another_account():
    theirs = NAME + "-theirs"
    trust = {"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    other("iam").create_role(RoleName=theirs, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust}))
    for trail, account, have, lack in ((other("cloudtrail"), os.environ["TRIED_OTHER_ACCOUNT"], theirs, NAME), (client("cloudtrail"), ACCOUNT, NAME, theirs)):
        found = named("EventName", "CreateRole", trail)
        equal({r["recipientAccountId"] for r in found}, {account})
        names = {r["requestParameters"]["roleName"] for r in found}
        equal((have in names, lack in names), (True, False))
    equal(named("ResourceName", ARN, other("cloudtrail")), [])


TRAIL = [
    ("LookupEvents by EventName", by_event_name),
    ("LookupEvents by ResourceName", by_resource_name),
    ("LookupEvents by pages", by_pages),
    ("LookupEvents by time", by_time),
    ("LookupEvents of another account", of_another_account),
]
