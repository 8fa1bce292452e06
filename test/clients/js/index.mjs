// The AWS SDK for JavaScript's part of the suite: `node index.mjs SECTION` tries a section's cases in order and tells each
// on a line of its own. Nothing names credentials, but where a wrong one is the case.

import { version } from "./ask.mjs";
import { AGENT, EKS, IAM, SIGNING, TLS } from "./management.mjs";
import { PLAIN, POD, REFRESH, STRANGER, UPLOADS } from "./s3.mjs";
import { TRAIL } from "./trail.mjs";

const sections = {
  pod: POD, stranger: STRANGER, uploads: UPLOADS, plain: PLAIN, refresh: REFRESH, eks: EKS, iam: IAM, signing: SIGNING, agent: AGENT, tls: TLS, trail: TRAIL,
  version: [["version", version]],
};

for (const [name, attempt] of sections[process.argv[2]]) {
  const line = { case: name, error: null };
  try {
    line.note = (await attempt()) ?? "";
  } catch (e) {
    line.error = `${e.name}: ${e.message}`; // whatever a case ends with is what it has to tell
  }
  console.log(JSON.stringify(line));
}
