import assert from "node:assert/strict";
import { test } from "node:test";
import { open, signIn, start } from "./world.mjs";

test("signing in and out", async (t) => {
  const world = await start(t, "--empty");
  const page = await open(t, world);

  await signIn(page, world, { ...world.administrator, secretAccessKey: "not the secret" });
  await page.getByText("Not signed in").waitFor();

  await signIn(page, world);
  await page.getByRole("heading", { name: "Clusters" }).waitFor();
  await page.getByRole("link", { name: "dev", exact: true }).waitFor();
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
  assert.ok(!kept.includes(world.administrator.accessKeyId), `the browser keeps ${kept}`);

  await page.getByRole("button", { name: /^Signed in as/ }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();

  await signIn(page, world);
  await page.getByRole("heading", { name: "Clusters" }).waitFor();
  await page.reload(); // who reads what a browser keeps finds nobody
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
});

test("a browser whose clock is an hour ahead", async (t) => {
  const world = await start(t, "--empty");
  const page = await open(t, world);
  await page.clock.install({ time: Date.now() + 3_600_000 });
  await signIn(page, world);
  await page.getByRole("link", { name: "dev", exact: true }).waitFor();
});
