// What the operations WhoCan and CanReach answer, in words for people.

import type { Session } from "../session";

export interface Statement {
  effect: "Allow" | "Deny";
  layer: "identity" | "boundary" | "session" | "trust";
  policy?: string;
  sid?: string;
  index: number;
}

export interface Term {
  operator?: string;
  key: string;
  values: string[];
}

export interface OpenStatement extends Statement {
  conditions: Term[];
}

export interface Principal {
  type: "user" | "role" | "serviceAccount";
  arn: string;
  clusterName?: string;
  namespace?: string;
  serviceAccount?: string;
  associationId?: string;
  viaRoleArn?: string;
  decision: "allowed" | "depends";
  statement?: Statement;
  dependsOn?: OpenStatement[];
}

export interface Who {
  principals: Principal[];
  /** Whom a role's trust policy names. */
  trusted: string[];
  /** Associations whose roles AWS or another account decides about. */
  untold: number;
}

/** Asks who may do something, until all is told. */
export async function whoCan(session: Session, action: string, resource: string): Promise<Who> {
  const all: Who = { principals: [], trusted: [], untold: 0 };
  let after = "";
  do {
    const part = await session.call<Partial<Who> & { next?: string }>("POST", "/who-can", { action, resource, after });
    all.principals.push(...part.principals!);
    all.trusted = part.trusted ?? [];
    all.untold += part.untold ?? 0;
    after = part.next ?? "";
  } while (after);
  return all;
}

export interface Grant extends OpenStatement {
  actions?: string[];
  notActions?: string[];
  resources?: string[];
  notResources?: string[];
}

export interface Reach {
  roleArn: string;
  bounded: boolean;
  narrowed: boolean;
  statements: Grant[];
}

export interface Association {
  clusterName: string;
  namespace: string;
  serviceAccount: string;
  associationId: string;
  roleArn: string;
  targetRoleArn?: string;
  decision: "allowed" | "depends" | "denied";
  dependsOn?: OpenStatement[];
  elsewhere?: string;
  missingRoleArn?: string;
  /** What its pods may do; undefined where that is nothing, or not known here. */
  reach?: Reach;
}

/** Asks what all service accounts reach. part is given what came so far. */
export async function canReach(session: Session, part: (so: Association[]) => void): Promise<Association[]> {
  const all: Association[] = [];
  let after = "";
  do {
    const answer = await session.call<{ associations: (Association & { session?: number })[]; sessions: Reach[]; next?: string }>("POST", "/can-reach", { after });
    for (const { session: n, ...a } of answer.associations) all.push({ ...a, reach: n === undefined ? undefined : answer.sessions[n] });
    after = answer.next ?? "";
    if (after) part([...all]);
  } while (after);
  return all;
}

export const nameOf = (arn: string) => arn.slice(arn.lastIndexOf("/") + 1);

/** Such as "statement 0 Own of read". */
export function told(s: Statement): string {
  const policy = { trust: "the trust policy", session: "the session policy", boundary: `the boundary ${s.policy}`, identity: s.policy ?? "" }[s.layer];
  return `statement ${s.index}${s.sid ? ` ${s.sid}` : ""} of ${policy}`;
}

/** Such as "aws:SourceIp IpAddress 10.0.0.0/8". */
export const terms = (all: Term[]) =>
  all.map((t) => (t.operator ? `${t.key} ${t.operator} ${t.values.join(" or ")}` : `the resource is ${t.values.join(" or ")}`)).join(" and ");

/** What an answer hangs on: "if …" and "unless …". */
export const depends = (all: OpenStatement[] = []) => all.map((s) => `${s.effect === "Allow" ? "if" : "unless"} ${terms(s.conditions)} (${told(s)})`);

/** Such as "allow s3:GetObject on arn:aws:s3:::data/*". */
export function grant(g: Grant): string {
  const list = (is?: string[], not?: string[]) => (not ? `all but ${not.join(", ")}` : (is ?? ["nothing"]).join(", "));
  const layer = g.layer === "identity" ? "" : `${g.layer}: `;
  const open = g.conditions.length > 0 ? ` if ${terms(g.conditions)}` : "";
  return `${layer}${g.effect.toLowerCase()} ${list(g.actions, g.notActions)} on ${list(g.resources, g.notResources)}${open}`;
}
