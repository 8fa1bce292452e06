// Who is signed in, and the clients that sign with their credentials. All of it is in memory and nowhere else: a page that
// is loaded anew knows nobody.

import { Sha256 } from "@aws-crypto/sha256-js";
import { CloudTrailClient } from "@aws-sdk/client-cloudtrail";
import { EKSClient } from "@aws-sdk/client-eks";
import { IAMClient } from "@aws-sdk/client-iam";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { SignatureV4 } from "@smithy/signature-v4";
import { createContext, useContext } from "react";

export interface Credentials {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
  expiration?: Date;
}

export interface Session {
  account: string;
  /** The ARN of who is signed in. */
  arn: string;
  /** In which clusters and associations are named. */
  region: string;
  expires?: Date;
  eks: EKSClient;
  iam: IAMClient;
  sts: STSClient;
  cloudtrail: CloudTrailClient;
  /** Calls Lanyard's own API: call("GET", "/clusters/dev/connector"). */
  call: <T>(method: string, path: string, input?: unknown) => Promise<T>;
  /** Signs out. The sentence is shown on the page to sign in. */
  end: (why?: string) => void;
}

const Context = createContext<Session | null>(null);

export const SessionProvider = Context.Provider;

export function useSession(): Session {
  const session = useContext(Context);
  if (!session) throw new Error("this page is for who has signed in");
  return session;
}

/** An answer that is an error. The clients of the SDK throw errors with the same members. */
export class Refused extends Error {
  constructor(
    override readonly name: string,
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** Makes a session of credentials, which are tried. */
export async function connect(credentials: Credentials, region: string, end: Session["end"]): Promise<Session> {
  const offset = await clockOffset();
  const config = { endpoint: window.location.origin, region, credentials, systemClockOffset: offset };
  const sts = new STSClient(config);
  const who = await sts.send(new GetCallerIdentityCommand({}));
  const call = caller(credentials, region, offset);
  return {
    account: who.Account!,
    arn: who.Arn!,
    // Who may not ask has told the region when signing in: any will do for signatures, and this one is for names.
    region: await call<{ region: string }>("GET", "/account").then((a) => a.region, () => region),
    expires: credentials.expiration,
    eks: new EKSClient(config),
    iam: new IAMClient(config),
    sts,
    cloudtrail: new CloudTrailClient(config),
    call,
    end,
  };
}

// A signature is good for minutes, and not every client corrects its clock by a refusal: IAM's does not.
async function clockOffset(): Promise<number> {
  const answer = await fetch("/console/", { method: "HEAD", cache: "no-store" });
  const told = Date.parse(answer.headers.get("date") ?? "");
  const offset = told - Date.now();
  return Number.isNaN(told) || Math.abs(offset) < 5_000 ? 0 : offset; // the header has whole seconds
}

function caller(credentials: Credentials, region: string, offset: number): Session["call"] {
  const signer = new SignatureV4({ service: "lanyard", region, credentials, sha256: Sha256 });
  return async <T>(method: string, path: string, input?: unknown): Promise<T> => {
    const { hostname, port, protocol, host } = window.location;
    const url = new URL("/lanyard/v1" + path, window.location.origin);
    const body = input === undefined ? undefined : JSON.stringify(input);
    const signed = await signer.sign(
      {
        method,
        protocol,
        hostname,
        port: port ? Number(port) : undefined,
        path: url.pathname,
        query: Object.fromEntries(url.searchParams),
        headers: { host, ...(body === undefined ? {} : { "content-type": "application/json" }) },
        body,
      },
      { signingDate: new Date(Date.now() + offset) },
    );
    delete signed.headers.host; // the browser sends it, and lets no page set it
    const answer = await fetch(url, { method, body, headers: signed.headers, cache: "no-store" });
    const text = await answer.text();
    if (!answer.ok) throw refusal(answer, text);
    return JSON.parse(text) as T;
  };
}

function refusal(answer: Response, text: string): Refused {
  try {
    const { code, message } = JSON.parse(text) as { code: string; message: string };
    return new Refused(code, message, answer.status);
  } catch {
    return new Refused(`HTTP ${answer.status}`, text, answer.status);
  }
}

const over = ["ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId"];

/** Whether an error says that the credentials are not good any more. */
export const isOver = (error: unknown) => error instanceof Error && over.includes(error.name);

/** What an error says, to people. */
export function sentence(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof TypeError && /fetch/i.test(error.message)) return "The server did not answer. Is it running?";
  return error.message || error.name;
}
