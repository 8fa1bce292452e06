// What has to be well in a cluster before its pods have credentials, as `lanyard status` tells it.

import { type Cluster, DescribeClusterCommand } from "@aws-sdk/client-eks";
import { Refused, type Session } from "../session";

interface Connector {
  keysAgeSeconds: number; // -1: none were told
  replicas: { instance: string; version: string; leader: boolean; seenAt: number; webhook: { ready: boolean; message: string } }[];
  addons: { name: string; version: string; status: string; build: string; issues: { code: string; message: string }[] }[];
}

export interface ClusterState {
  cluster: Cluster;
  /** A practice cluster of `lanyard dev`, which needs no connector. */
  practice: boolean;
  steps: Step[];
}

export interface Step {
  name: "Activated" | "Keys" | "Connector" | "Webhook" | "Agent";
  kind: "success" | "error" | "warning" | "pending" | "stopped" | "in-progress" | "info";
  state: string;
  /** What to do, where not all is well. */
  fix?: string;
  /** A command that does it. */
  command?: string;
}

const agent = "eks-pod-identity-agent";
const logs = "kubectl -n lanyard-system logs deployment/lanyard-connector";

// How old what a cluster tells may be before something is wrong there: a connector reports several times in this.
const silent = 120;
const staleKeys = 900;

export async function clusterState(session: Session, name: string): Promise<ClusterState> {
  const { cluster } = await session.eks.send(new DescribeClusterCommand({ name }));
  const practice = cluster!.connectorConfig?.roleArn?.endsWith(":role/practice") ?? false;
  if (practice) return { cluster: cluster!, practice, steps: [{ name: "Activated", kind: "success", state: "Practice cluster of lanyard dev" }] };
  try {
    const told = await session.call<Connector>("GET", `/clusters/${encodeURIComponent(name)}/connector`);
    return { cluster: cluster!, practice, steps: steps(name, cluster!.status ?? "", told, Date.now() / 1000) };
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 403) throw error;
    const state = "Not shown to you";
    return { cluster: cluster!, practice, steps: [{ name: "Connector", kind: "stopped", state, fix: error.message }] };
  }
}

/** The step of a name, for who shows one alone. */
export const stepOf = (state: ClusterState | undefined, name: Step["name"]) => state?.steps.find((s) => s.name === name);

/** They end at the first one without which the others cannot be. */
export function steps(name: string, status: string, told: Connector, now: number): Step[] {
  if (status !== "ACTIVE") {
    const fix = "Join the cluster, from where kubectl reaches it:";
    return [{ name: "Activated", kind: "pending", state: "Not yet", fix, command: join(name) }];
  }
  const all: Step[] = [{ name: "Activated", kind: "success", state: "Yes" }, keys(name, told)];
  if (told.replicas.length === 0) {
    const fix = "Nothing was heard from it in the last minutes. See whether it runs:";
    return [...all, { name: "Connector", kind: "error", state: "Silent", fix, command: "kubectl -n lanyard-system get pods" }];
  }
  const webhook = told.replicas.some((r) => r.webhook.ready);
  const last = told.replicas.reduce((a, b) => (b.seenAt >= a.seenAt ? b : a));
  all.push(connector(told, now));
  all.push(
    webhook
      ? { name: "Webhook", kind: "success", state: "Ready" }
      : {
          name: "Webhook", kind: "error", state: "Not ready", command: logs,
          fix: `${last.webhook.message || "It does not say why."} New pods get no credentials until it is ready.`,
        },
  );
  return [...all, agentStep(name, told)];
}

function keys(name: string, told: Connector): Step {
  if (told.keysAgeSeconds < 0) {
    return { name: "Keys", kind: "error", state: "Never told", fix: "The cluster's signing keys were never told. Joining again tells them:", command: join(name) };
  }
  const state = `Confirmed ${ago(told.keysAgeSeconds)}`;
  if (told.keysAgeSeconds <= staleKeys) return { name: "Keys", kind: "success", state };
  return { name: "Keys", kind: "warning", state, fix: "Tokens that a newer key signed are refused. The connector confirms the list:", command: logs };
}

function connector(told: Connector, now: number): Step {
  const seen = now - Math.max(...told.replicas.map((r) => r.seenAt));
  const n = told.replicas.length;
  const state = `${n} ${n === 1 ? "replica" : "replicas"}, heard from ${ago(seen)}`;
  if (seen > silent) return { name: "Connector", kind: "error", state, fix: "It no longer reports:", command: logs };
  if (!told.replicas.some((r) => r.leader)) {
    return { name: "Connector", kind: "warning", state, fix: "No replica leads. The lease tells who did:", command: "kubectl -n lanyard-system get lease lanyard-connector" };
  }
  return { name: "Connector", kind: "success", state };
}

function agentStep(name: string, told: Connector): Step {
  const found = told.addons.find((a) => a.name === agent);
  if (!found) {
    const fix = "Get the add-on on the tab Add-ons, or by:";
    return { name: "Agent", kind: "stopped", state: "Not installed", fix, command: `aws eks create-addon --cluster-name ${name} --addon-name ${agent}` };
  }
  const kind = found.status === "DELETING" ? "warning" : addonKind(found.status); // pods soon have nobody to ask
  const step: Step = { name: "Agent", kind, state: words(found.status) };
  const issue = found.issues[0];
  if (issue) step.fix = `${issue.code}: ${issue.message}`;
  if (kind === "error" || kind === "warning") {
    step.fix ??= "The cluster may say more:";
    step.command = `kubectl -n kube-system describe daemonset/${agent}`;
  }
  return step;
}

export function addonKind(status: string | undefined): Step["kind"] {
  switch (status) {
    case "ACTIVE":
      return "success";
    case "CREATING":
    case "UPDATING":
    case "DELETING":
      return "in-progress";
    case "DEGRADED":
      return "warning";
    default:
      return "error";
  }
}

/** CREATE_FAILED as people write it. */
export const words = (status = "") => status.charAt(0) + status.slice(1).toLowerCase().replaceAll("_", " ");

export const join = (name: string) => `lanyard join --name ${name} --reactivate`;

export function ago(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s ago`;
  return s < 7200 ? `${Math.round(s / 60)} min ago` : `${Math.round(s / 3600)} h ago`;
}
