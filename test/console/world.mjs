// What every test of the console has: a `lanyard dev` of its own with its administrator, the API beside the page, and a
// browser that tells of whatever the page should not have done.

import { spawn, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
const tools = createRequire(join(root, ".tools/console/package.json"));
const libraries = createRequire(join(root, "console/app/package.json"));
const { chromium } = tools("playwright-core");

export const eks = libraries("@aws-sdk/client-eks");
export const iam = libraries("@aws-sdk/client-iam");
export const sts = libraries("@aws-sdk/client-sts");

const lanyard = join(root, "bin/lanyard");

/** Starts `lanyard dev` in a folder of its own; it ends with the test. */
export async function start(t, ...flags) {
  const dir = mkdtempSync(join(tmpdir(), "lanyard-console-"));
  const process = spawn(lanyard, ["dev", "--dir", dir, "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0", ...flags]);
  const ended = new Promise((resolve) => process.once("exit", resolve));
  t.after(async () => {
    process.kill("SIGTERM");
    await ended;
    rmSync(dir, { recursive: true });
  });
  const url = await new Promise((resolve, reject) => {
    let told = "";
    const more = (text) => {
      told += text;
      const ready = /is ready: (\S+),/.exec(told);
      if (ready) resolve(ready[1]);
    };
    process.stdout.on("data", more);
    process.stderr.on("data", more);
    process.once("exit", (code) => reject(new Error(`lanyard dev ended with ${code}: ${told}`)));
  });
  const environment = execFileSync(lanyard, ["env", "--dir", dir], { encoding: "utf8" });
  const value = (name) => new RegExp(`^export ${name}=(.*)$`, "m").exec(environment)[1];
  const administrator = { accessKeyId: value("AWS_ACCESS_KEY_ID"), secretAccessKey: value("AWS_SECRET_ACCESS_KEY") };
  const config = { endpoint: url, region: "us-east-1", credentials: administrator };
  return {
    url,
    dir,
    administrator,
    account: "111122223333",
    eks: new eks.EKSClient(config),
    iam: new iam.IAMClient(config),
    sts: new sts.STSClient(config),
    run: (...args) => execFileSync(lanyard, [...args, "--dir", dir], { encoding: "utf8" }),
  };
}

/** Makes a user with a policy and gives its access key. */
export async function user(world, name, statements) {
  await world.iam.send(new iam.CreateUserCommand({ UserName: name }));
  const document = JSON.stringify({ Version: "2012-10-17", Statement: statements });
  await world.iam.send(new iam.PutUserPolicyCommand({ UserName: name, PolicyName: "own", PolicyDocument: document }));
  const { AccessKey: key } = await world.iam.send(new iam.CreateAccessKeyCommand({ UserName: name }));
  return { accessKeyId: key.AccessKeyId, secretAccessKey: key.SecretAccessKey };
}

/**
 * Opens a page of a browser of its own. After the test nothing may have been thrown or refused by the content policy, and
 * nobody else asked for anything.
 */
export async function open(t, world, options = {}) {
  // Without a sandbox of its own: as root Chromium has none, and the page is ours and can reach nothing but this machine.
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  t.after(() => browser.close());
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(`thrown: ${error.message}`));
  page.on("console", (line) => {
    if (/Content Security Policy|Refused to|Warning:/.test(line.text())) wrong.push(line.text());
  });
  page.on("request", (request) => {
    if (!/^(data:|blob:)/.test(request.url()) && !request.url().startsWith(world.url)) wrong.push(`asked ${request.url()}`);
  });
  t.after(() => {
    if (wrong.length > 0) throw new Error(`the page misbehaved:\n${wrong.join("\n")}`);
  });
  return page;
}

/** Signs in by the form. */
export async function signIn(page, world, credentials = world.administrator) {
  await page.goto(`${world.url}/console/`);
  await page.getByLabel("Access key ID").fill(credentials.accessKeyId);
  await page.getByLabel("Secret access key").fill(credentials.secretAccessKey);
  if (credentials.sessionToken) await page.getByLabel("Session token").fill(credentials.sessionToken);
  await page.getByRole("button", { name: "Sign in" }).click();
}
