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

test("the link of lanyard console", async (t) => {
  const world = await start(t, "--empty");
  const page = await open(t, world);
  const link = world.run("console").trim();
  assert.match(link, /^http:\/\/127\.0\.0\.1:\d+\/console\/#credentials=[\w-]+$/);
  assert.ok(!link.includes(world.administrator.secretAccessKey));

  const sent = [];
  page.on("request", (request) => sent.push(request.url() + JSON.stringify(request.headers())));
  await page.goto(link);
  await page.getByRole("link", { name: "dev", exact: true }).waitFor();
  assert.equal(page.url(), `${world.url}/console/#/clusters`);
  const { secretAccessKey, sessionToken } = JSON.parse(Buffer.from(link.split("=")[1], "base64url"));
  assert.ok(sent.length > 3 && !sent.some((s) => s.includes(secretAccessKey)));
  await page.goBack().catch(() => undefined); // the history has it neither
  assert.ok(!page.url().includes("credentials"));

  // Its credentials are temporary, and as good by the form. Not with another's token.
  const told = JSON.parse(Buffer.from(link.split("=")[1], "base64url"));
  assert.ok(Date.parse(told.expiration) < Date.now() + 3_605_000, told.expiration);
  await page.goto("about:blank");
  await signIn(page, world, { ...told, sessionToken: sessionToken.slice(0, -8) + "AAAAAAAA" });
  await page.getByText("Not signed in").waitFor();
  await signIn(page, world, told);
  await page.getByRole("link", { name: "dev", exact: true }).waitFor();
});

test("a part of a link", async (t) => {
  const world = await start(t, "--empty");
  const page = await open(t, world);
  await page.goto(`${world.url}/console/#credentials=eyJhY2Nlc3NL`);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.equal(page.url(), `${world.url}/console/`);
});

test("with the keyboard alone", async (t) => {
  const world = await start(t, "--empty");
  const page = await open(t, world);
  await page.goto(`${world.url}/console/`);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.keyboard.type(world.administrator.accessKeyId); // the first field has the focus
  await page.keyboard.press("Tab");
  await page.keyboard.type(world.administrator.secretAccessKey);
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "dev", exact: true }).waitFor();

  const register = page.getByRole("button", { name: "Register a cluster" });
  await register.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.type("by-hand");
  await page.keyboard.press("Enter");
  await page.getByText("lanyard join --name by-hand --reactivate").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("link", { name: "by-hand" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "by-hand", level: 1 }).waitFor();
  await page.getByRole("tab", { name: "Overview" }).focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  await page.getByText("No service account of this cluster has a role yet.").waitFor();
});
