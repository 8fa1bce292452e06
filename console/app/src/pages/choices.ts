// What the pickers offer. Who may not list a thing still types it.

import { ListPoliciesCommand, ListRolesCommand, type Policy, type Role } from "@aws-sdk/client-iam";
import type { Session } from "../session";

// The roles of agents and connectors trust one service account each, and are nobody else's.
const own = /^lanyard-(agent|connector)-[0-9a-f]{32}$/;

/** The roles of the account that pods may be given. */
export async function roles(session: Session): Promise<Role[]> {
  const all: Role[] = [];
  let Marker: string | undefined;
  do {
    const page = await session.iam.send(new ListRolesCommand({ Marker, MaxItems: 1000 }));
    all.push(...(page.Roles ?? []).filter((r) => !own.test(r.RoleName ?? "")));
    Marker = page.IsTruncated ? page.Marker : undefined;
  } while (Marker);
  return all;
}

/** Whether a role's trust policy names Pod Identity. What it says exactly, the server judges. */
export const trustsPods = (role: Role) => decodeURIComponent(role.AssumeRolePolicyDocument ?? "").includes("pods.eks.amazonaws.com");

/** The managed policies of the account, and those that every account has. */
export async function policies(session: Session, part: (found: Policy[]) => void): Promise<Policy[]> {
  const all: Policy[] = [];
  let Marker: string | undefined;
  do {
    const page = await session.iam.send(new ListPoliciesCommand({ Marker, MaxItems: 100 }));
    all.push(...(page.Policies ?? []));
    Marker = page.IsTruncated ? page.Marker : undefined;
    if (Marker) part([...all]);
  } while (Marker);
  return all;
}

/** Whose a policy is, by its ARN. */
export const policyType = (arn: string) => (arn.startsWith("arn:aws:iam::aws:") ? "AWS managed" : "Customer managed");

export interface ServiceAccount {
  namespace: string;
  name: string;
}

export interface ServiceAccounts {
  namespaces: string[];
  serviceAccounts: ServiceAccount[];
  /** There are more: a namespace has to be asked for. */
  truncated: boolean;
}

/** Asks the cluster itself, over its connector's stream. No namespace is all of them. */
export const serviceAccounts = (session: Session, cluster: string, namespace: string) =>
  session.call<ServiceAccounts>("POST", `/clusters/${encodeURIComponent(cluster)}/service-accounts`, { namespace });
