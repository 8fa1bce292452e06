// The console tells of a cluster what `lanyard status` does: both are held to the same cases.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const at = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const { runnerImport } = createRequire(at("console/app/package.json"))("vite");
const { module } = await runnerImport(at("console/app/src/pages/health.ts"), { configFile: false, root: at("console/app"), logLevel: "error" });
const cases = JSON.parse(readFileSync(at("cmd/lanyard/testdata/clustersteps.json"), "utf8"));

assert.ok(cases.length > 0);
for (const { case: name, status, told, steps } of cases) {
  test(name, () => {
    const got = module.steps("prod", status, told, 1000);
    assert.deepEqual(
      got.map((s) => ({ name: s.name.toLowerCase(), well: s.kind === "success" || s.kind === "in-progress", command: s.command })),
      steps.map(({ name, well = false, command }) => ({ name, well, command })),
    );
    for (const [i, { tells = "", well }] of steps.entries()) {
      assert.ok(well || got[i].fix.includes(tells), `${got[i].name} says ${got[i].fix}`);
    }
  });
}
