// What the one who is signed in may do, asked before it is tried, so that a button can say which action is missing. The
// server decides over each call all the same.

import { useEffect, useState } from "react";
import { useSession } from "./session";

/** An action, on a resource or on *. */
export type Check = [action: string, resource?: string];

interface Answer {
  checks: { action: string; resource: string; decision: "allowed" | "depends" | "denied" }[];
}

/** Returns why an action that was asked about cannot be done, or undefined: it can, or that is not known before it is tried. */
export type Missing = (action: string, resource?: string) => string | undefined;

const key = (action: string, resource = "*") => `${action} ${resource}`;

export function useAccess(checks: Check[]): Missing {
  const session = useSession();
  const [denied, setDenied] = useState<ReadonlySet<string>>(new Set());
  const asked = JSON.stringify(checks);
  useEffect(() => {
    let gone = false;
    const questions = (JSON.parse(asked) as Check[]).map(([action, resource = "*"]) => ({ action, resource }));
    if (questions.length === 0) return;
    session
      .call<Answer>("POST", "/my-access", { checks: questions })
      .then((answer) => {
        if (gone) return;
        setDenied(new Set(answer.checks.filter((c) => c.decision === "denied").map((c) => key(c.action, c.resource))));
      })
      .catch(() => undefined); // then nothing is known, and the calls themselves say what is missing
    return () => {
      gone = true;
    };
  }, [session, asked]);
  return (action, resource = "*") => (denied.has(key(action, resource)) ? `You need ${action} on ${resource}` : undefined);
}

/** The ARN of a cluster, which may not exist yet. */
export const clusterArn = (s: { account: string; region: string }, name: string) => `arn:aws:eks:${s.region}:${s.account}:cluster/${name}`;

export const roleArn = (s: { account: string }, name: string) => `arn:aws:iam::${s.account}:role/${name}`;
