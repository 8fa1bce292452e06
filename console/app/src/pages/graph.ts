// The map's columns and links, of what the server told: service accounts, roles, and what these reach.

import { type Association, nameOf, type Reach } from "./reach";

export interface Node {
  key: string;
  column: 0 | 1 | 2;
  label: string;
  detail: string;
  /** How many things it stands for. */
  size: number;
  /** What to search for to see what is in it; undefined: it is one thing. */
  search?: string;
  /** On what is reached. */
  actions?: string[];
}

export interface Link {
  from: string;
  to: string;
  /** Whether it is for certain, by everything that is known. */
  sure: boolean;
}

export interface Graph {
  nodes: [Node[], Node[], Node[]];
  links: Link[];
}

/** Nodes of a column at most: more are not looked through but searched for. */
const most = 24;

/** What a session may reach: a bucket, or another resource, with the actions on it. */
export interface Reached {
  label: string;
  actions: string[];
  sure: boolean;
}

const told = new WeakMap<Reach, Reached[]>();

/** What the Allow statements of a session's own policies are about. What is denied again is told apart. */
export function reached(reach: Reach): Reached[] {
  const known = told.get(reach);
  if (known) return known;
  const all = new Map<string, Reached>();
  for (const s of reach.statements) {
    if (s.effect !== "Allow" || s.layer !== "identity") continue;
    const actions = s.notActions ? [`all but ${s.notActions.join(", ")}`] : (s.actions ?? []);
    const labels = s.notResources ? [`all but ${s.notResources.join(", ")}`] : (s.resources ?? []).map(place);
    for (const label of new Set(labels)) {
      const one = all.get(label) ?? { label, actions: [], sure: !reach.bounded && !reach.narrowed };
      one.actions.push(...actions.filter((a) => !one.actions.includes(a)));
      one.sure &&= s.conditions.length === 0;
      all.set(label, one);
    }
  }
  const list = [...all.values()];
  told.set(reach, list);
  return list;
}

/** The bucket of an ARN of S3; of another service the ARN without what all have in common. */
export function place(resource: string): string {
  if (resource === "*") return "everything";
  const [, , service, , , ...rest] = resource.split(":");
  const name = rest.join(":");
  return service === "s3" ? `bucket ${name.split("/")[0]}` : `${service} ${name}`;
}

export const accountOf = (a: Association) => `${a.clusterName}/${a.namespace}/${a.serviceAccount}`;

export const roleOf = (a: Association) => a.targetRoleArn ?? a.roleArn;

/** What is searched of an association. */
export const textOf = (a: Association) =>
  `${accountOf(a)} ${nameOf(a.roleArn)} ${a.targetRoleArn ?? ""} ${(a.reach ? reached(a.reach) : []).map((r) => `${r.label} ${r.actions.join(" ")}`).join(" ")}`.toLowerCase();

/** Draws the associations together where there are too many to look at. */
export function graph(all: readonly Association[]): Graph {
  const groupOf = (a: Association) => `${a.clusterName}/${a.namespace}/`;
  const whole = all.length <= most || all.every((a) => groupOf(a) === groupOf(all[0]!));
  const columns: Map<string, Node>[] = [new Map(), new Map(), new Map()];
  const links = new Map<string, Link>();
  const node = (column: 0 | 1 | 2, label: string, detail: string, search?: string) => {
    const key = `${column} ${label}`;
    const one = columns[column]!.get(key) ?? { key, column, label, detail, size: 0, search };
    one.size++;
    columns[column]!.set(key, one);
    return one;
  };
  const link = (from: Node, to: Node, sure: boolean) => {
    const key = `${from.key}\n${to.key}`;
    links.set(key, { from: from.key, to: to.key, sure: sure && (links.get(key)?.sure ?? true) });
  };
  for (const a of all) {
    const group = groupOf(a);
    const left = whole ? node(0, accountOf(a), "service account") : node(0, group, "namespace", group);
    const role = node(1, nameOf(roleOf(a)), a.elsewhere ? `role of ${a.elsewhere}` : "role");
    if (a.decision !== "denied") link(left, role, a.decision === "allowed");
    for (const r of a.reach ? reached(a.reach) : []) {
      const right = node(2, r.label, "");
      right.actions = [...new Set([...(right.actions ?? []), ...r.actions])];
      right.detail = right.actions.join(", ");
      link(role, right, r.sure);
    }
  }
  const nodes = columns.map(cut) as Graph["nodes"];
  const drawn = new Map(nodes.flat().map((n) => [n.key, n]));
  return { nodes, links: [...links.values()].filter((l) => drawn.has(l.from) && drawn.has(l.to)) };
}

/** The largest nodes of a column, in the order of their names, and a last one for the others. */
function cut(column: Map<string, Node>, index: number): Node[] {
  const all = [...column.values()].sort((a, b) => b.size - a.size);
  const shown = all.slice(0, most).sort((a, b) => (a.label < b.label ? -1 : 1));
  if (all.length > most) {
    shown.push({ key: `${index} more`, column: index as Node["column"], label: `${(all.length - most).toLocaleString("en")} more`, detail: "search to see them", size: 0 });
  }
  return shown;
}

/** What is on a way through the node. */
export function around(g: Graph, key: string): Set<string> {
  const found = new Set([key]);
  const walk = (at: string, from: "from" | "to", to: "from" | "to") => {
    for (const l of g.links) {
      if (l[from] === at && !found.has(l[to])) {
        found.add(l[to]);
        walk(l[to], from, to);
      }
    }
  };
  walk(key, "from", "to");
  walk(key, "to", "from");
  return found;
}
