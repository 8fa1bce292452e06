// What every section needs: clients that take who they are from the environment, and how an answer is judged.

import { createRequire } from "node:module";

export const { TRIED_TRUST: TRUST, TRIED_ROLE: ROLE, TRIED_ENDPOINT: ENDPOINT, TRIED_POD_TOKEN: POD_TOKEN } = process.env;
export const ODD_KEYS = JSON.parse(process.env.TRIED_ODD_KEYS ?? "[]");
export const SMALL = "hello from a pod\n";

// One attempt: what is answered first is what is judged. Deadlines, so that a server that hangs fails a case.
export const ONCE = { maxAttempts: 1, requestHandler: { connectionTimeout: 10_000, requestTimeout: 20_000 } };

export function version() {
  return createRequire(import.meta.url)("@aws-sdk/client-s3/package.json").version;
}

export function equal(got, want, what = "answer") {
  const [g, w] = [JSON.stringify(got), JSON.stringify(want)];
  if (g !== w) throw new Error(`${what}: got ${g?.slice(0, 300)}, want ${w?.slice(0, 300)}`);
}

export function contains(got, want, what = "answer") {
  if (!got.includes(want)) throw new Error(`${what}: got ${JSON.stringify(got).slice(0, 500)}, want it to contain ${JSON.stringify(want)}`);
}

// refused wants the service to answer an error code and a message.
export async function refused(code, message, call) {
  let got;
  try {
    got = await call;
  } catch (e) {
    equal(e.name, code, `code of ${e.message}`);
    contains(e.message, message, "message");
    return e;
  }
  throw new Error(`got ${JSON.stringify(got).slice(0, 300)}, want to be refused with ${code}`);
}
