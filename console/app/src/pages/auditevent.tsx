import Box from "@cloudscape-design/components/box";
import Container from "@cloudscape-design/components/container";
import Header from "@cloudscape-design/components/header";
import KeyValuePairs from "@cloudscape-design/components/key-value-pairs";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Spinner from "@cloudscape-design/components/spinner";
import { Command } from "../parts/command";
import { Empty } from "../parts/listing";
import { useLoad } from "../parts/load";
import { NotLoaded } from "../parts/notloaded";
import { State } from "../parts/state";
import { href } from "../router";
import { useSession } from "../session";
import type { PageProps } from ".";
import { moment } from "./auditchart";
import { type Entry, record } from "./auditrecord";
import { viewOf } from "./auditview";

/** One record of the audit, which may be linked to. */
export default function AuditEvent({ params }: PageProps) {
  const session = useSession();
  const id = params.event!;
  const read = viewOf(session).history.entries;
  const loaded = useLoad<{ entry?: Entry }>(async () => ({ entry: read.find((e) => e.id === id) ?? (await record(session, id)) }), [id]);
  const entry = loaded.data?.entry;
  if (loaded.error) {
    return (
      <SpaceBetween size="l">
        <Header variant="h1">Record</Header>
        <NotLoaded what="The record" why={loaded.error} onRetry={loaded.reload} />
      </SpaceBetween>
    );
  }
  if (loaded.loading || !loaded.data) {
    return (
      <Box textAlign="center" padding="xxl">
        <Spinner size="large" />
      </Box>
    );
  }
  if (!entry || entry.id !== id) {
    return (
      <SpaceBetween size="l">
        <Header variant="h1">Record</Header>
        <Empty text="There is no such record, or its file is older than the log keeps." next={<Link href={href("audit")}>To the audit</Link>} />
      </SpaceBetween>
    );
  }
  const others = entry.shared ? read.filter((e) => e.shared === entry.shared && e.id !== entry.id) : [];
  return (
    <SpaceBetween size="l">
      <Container header={<Header variant="h1">{`${entry.service}: ${entry.action}`}</Header>}>
        <KeyValuePairs columns={3} items={pairs(entry, others)} />
      </Container>
      <Container header={<Header variant="h2">Record</Header>}>
        <Command text={entry.json} label="The record as JSON" />
      </Container>
    </SpaceBetween>
  );
}

function pairs(e: Entry, others: Entry[]) {
  const shown = [
    { label: "Time", value: moment(e.time) },
    { label: "Outcome", value: <Outcome entry={e} /> },
    { label: "Who", value: e.principal || "-" },
    ...(e.message ? [{ label: "Reason", value: e.message }] : []),
    { label: "Decided by", value: <Decisions entry={e} /> },
    ...(e.pod ? [{ label: "Pod", value: `${e.namespace}/${e.pod} (service account ${e.serviceAccount})` }] : []),
    ...(e.cluster ? [{ label: "Cluster", value: e.cluster }] : []),
    ...(e.role ? [{ label: "Role", value: e.role }] : []),
    { label: "From", value: e.source || "-" },
  ];
  for (const other of others) {
    shown.push({ label: "Same decision", value: <Link href={href("audit", other.id)}>{`${other.service}: ${other.action}`}</Link> });
  }
  return shown;
}

const Decisions = ({ entry }: { entry: Entry }) =>
  entry.decisions.length === 0 ? (
    <>No policy was asked</>
  ) : (
    <>
      {entry.decisions.map((d) => (
        <div key={d.question}>{`${d.question}: ${inWords(d.answer)}`}</div>
      ))}
    </>
  );

/** A decision as the record has it, in words: "Allow by statement 0 Administrator". Documents count statements from 0. */
function inWords(answer: string): string {
  if (answer === "ImplicitDeny") return "denied, as no statement allows it";
  const said = /^(Allow|Deny) by statement (\d+)(?: (.*))?$/.exec(answer);
  if (!said) return answer;
  return `${said[1] === "Allow" ? "allowed" : "denied"} by statement ${said[2]}${said[3] ? ` "${said[3]}"` : ""}`;
}

export const Outcome = ({ entry }: { entry: Entry }) => (
  <State step={entry.outcome === "allowed" ? { kind: "success", state: "Allowed" } : { kind: "error", state: entry.code }} />
);
