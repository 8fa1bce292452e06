// What the audit page knows of a record: CloudTrail's, with what Lanyard adds to it.

import { type Event, LookupEventsCommand, type LookupEventsCommandInput } from "@aws-sdk/client-cloudtrail";
import type { Session } from "../session";

/** One record, as it is listed and filtered. */
export interface Entry {
  id: string;
  time: Date;
  action: string;
  /** The door: eks, not eks.amazonaws.com. */
  service: string;
  outcome: "allowed" | "refused";
  code: string;
  message: string;
  /** Who called, in short, and the ARN. */
  who: string;
  principal: string;
  /** The role that was assumed, or whose session called; of several the names with commas between. */
  role: string;
  pod: string;
  namespace: string;
  serviceAccount: string;
  cluster: string;
  source: string;
  /** What was decided of each question, and by which statement. */
  decisions: { question: string; answer: string }[];
  /** The same for the records of one decision. */
  shared: string;
  /** The record itself. */
  json: string;
}

interface Pod {
  cluster?: string;
  namespace?: string;
  name?: string;
  serviceAccount?: string;
}

// As much of a record as is read here.
interface Trail {
  eventID: string;
  eventTime: string;
  eventName: string;
  eventSource: string;
  errorCode?: string;
  errorMessage?: string;
  sourceIPAddress?: string;
  sharedEventID?: string;
  requestParameters?: { clusterName?: string } | null;
  resources?: { ARN?: string }[];
  userIdentity: {
    arn?: string;
    userName?: string;
    invokedBy?: string;
    sessionContext?: { sessionIssuer?: { type?: string; arn?: string }; pod?: Pod };
  };
  additionalEventData?: Record<string, unknown> & { pod?: Pod };
}

/** Where agents ask. */
const podsDoor = "eks-auth.amazonaws.com";

const last = (arn: string) => arn.slice(arn.lastIndexOf("/") + 1);

/** Reads a record. */
export function entryOf(event: Event): Entry {
  const json = event.CloudTrailEvent ?? "{}";
  const r = JSON.parse(json) as Trail;
  const caller = r.userIdentity;
  const issuer = caller.sessionContext?.sessionIssuer;
  // Who asks for a pod's credentials is its node's agent, whose role says nothing: the pod that they are for stands beside.
  const pod = caller.sessionContext?.pod ?? r.additionalEventData?.pod ?? {};
  const roles = (r.resources ?? []).map((touched) => touched.ARN);
  if (issuer?.type === "Role" && r.eventSource !== podsDoor) roles.push(issuer.arn);
  const decisions = Object.entries(r.additionalEventData ?? {}).filter(([name]) => name === "decision" || name.startsWith("decision/"));
  const principal = caller.arn ?? caller.invokedBy ?? "";
  return {
    id: r.eventID,
    time: new Date(r.eventTime),
    action: r.eventName,
    service: r.eventSource.replace(".amazonaws.com", ""),
    outcome: r.errorCode ? "refused" : "allowed",
    code: r.errorCode ?? "",
    message: r.errorMessage ?? "",
    who: caller.userName ?? (last(principal) || "-"),
    principal,
    role: [...new Set(roles.filter((arn) => arn?.includes(":role/")).map((arn) => last(arn!)))].join(", "),
    pod: pod.name ?? "",
    namespace: pod.namespace ?? "",
    serviceAccount: pod.serviceAccount ?? "",
    cluster: r.requestParameters?.clusterName ?? pod.cluster ?? "",
    source: r.sourceIPAddress ?? "",
    decisions: decisions.map(([name, answer]) => ({ question: name.replace(/^decision\/?/, "") || r.eventName, answer: String(answer) })),
    shared: r.sharedEventID ?? "",
    json: JSON.stringify(r, null, 2),
  };
}

/**
 * A pod's credentials are two records of one decision: the one has the pod, the other one its role. Each gets what the other
 * has.
 */
function paired(entries: Entry[]): Entry[] {
  const asked = new Map(entries.filter((e) => e.service === "eks-auth" && e.shared).map((e) => [e.shared, e]));
  const given = new Map(entries.filter((e) => e.service === "sts" && e.shared).map((e) => [e.shared, e]));
  return entries.map((e) => {
    const pod = asked.get(e.shared);
    const role = given.get(e.shared);
    if (!pod || !role) return e;
    const { cluster, namespace, serviceAccount } = pod;
    return { ...e, role: role.role, pod: pod.pod, cluster, namespace, serviceAccount };
  });
}

/** What is asked of the server; the rest is filtered of what it answers. */
export interface Asked {
  from?: Date;
  to?: Date;
  /** One action alone. */
  action?: string;
}

/** What has been read so far, newest first. */
export interface History {
  entries: Entry[];
  /** Where to go on. */
  next?: string;
  /** Whether there is no more to read. */
  whole: boolean;
}

/** Reads on until there are so many records, or no more. A page may be empty and still not be the last. */
export async function readOn(session: Session, asked: Asked, before: History, wanted: number, part: (h: History) => void): Promise<History> {
  const input: LookupEventsCommandInput = {
    StartTime: asked.from,
    EndTime: asked.to,
    LookupAttributes: asked.action ? [{ AttributeKey: "EventName", AttributeValue: asked.action }] : undefined,
  };
  let history = before;
  while (!history.whole && history.entries.length < wanted) {
    const page = await session.cloudtrail.send(new LookupEventsCommand({ ...input, MaxResults: 50, NextToken: history.next }));
    history = { entries: paired([...history.entries, ...(page.Events ?? []).map(entryOf)]), next: page.NextToken, whole: !page.NextToken };
    part(history);
  }
  return history;
}

/** One record, by its id. */
export async function record(session: Session, id: string): Promise<Entry | undefined> {
  let next: string | undefined;
  do {
    const page = await session.cloudtrail.send(
      new LookupEventsCommand({ LookupAttributes: [{ AttributeKey: "EventId", AttributeValue: id }], MaxResults: 1, NextToken: next }),
    );
    if (page.Events?.[0]) return entryOf(page.Events[0]);
    next = page.NextToken;
  } while (next);
}
