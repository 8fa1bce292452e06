import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import Container from "@cloudscape-design/components/container";
import Header from "@cloudscape-design/components/header";
import Link from "@cloudscape-design/components/link";
import SegmentedControl from "@cloudscape-design/components/segmented-control";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Spinner from "@cloudscape-design/components/spinner";
import StatusIndicator from "@cloudscape-design/components/status-indicator";
import TextFilter from "@cloudscape-design/components/text-filter";
import { useDeferredValue, useMemo, useState } from "react";
import { useAccess } from "../access";
import { Drawing } from "../parts/drawing";
import { Empty, Listing } from "../parts/listing";
import { useLoad } from "../parts/load";
import { NotLoaded } from "../parts/notloaded";
import { href } from "../router";
import { useSession } from "../session";
import { accountOf, graph, type Node, reached, roleOf, textOf } from "./graph";
import { type Association, canReach, depends, grant, nameOf, told } from "./reach";

/** Which service account is which role, and what that reaches: drawn, or as a table. */
export default function Map_() {
  const session = useSession();
  const [search, setSearch] = useState("");
  const [view, setView] = useState("drawing");
  const [chosen, setChosen] = useState<Node>();
  const loaded = useLoad<Association[]>((part) => canReach(session, part), []);
  const account = `arn:aws:lanyard:${session.region}:${session.account}:account/${session.account}`;
  const missing = useAccess([["lanyard:CanReach", account]])("lanyard:CanReach", account);
  const texts = useMemo(() => (loaded.data ?? []).map(textOf), [loaded.data]);
  const wanted = useDeferredValue(search.trim().toLowerCase());
  const found = useMemo(() => (loaded.data ?? []).filter((_, i) => texts[i]!.includes(wanted)), [loaded.data, texts, wanted]);
  const drawn = useMemo(() => graph(found), [found]);
  const one = chosen && drawn.nodes.flat().some((n) => n.key === chosen.key) ? chosen : undefined;
  const choose = (node: Node) => {
    if (node.search) {
      setSearch(node.search);
      setChosen(undefined);
    } else {
      setChosen(node.key === one?.key ? undefined : node);
    }
  };
  const all = loaded.data ?? [];
  return (
    <SpaceBetween size="m">
      <Header
        variant="h1"
        counter={all.length > 0 ? `(${all.length.toLocaleString("en")}${loaded.loading ? "…" : ""})` : undefined}
        description="Which service account becomes which role, and what that role's policies let it reach, by the policies of now."
        actions={
          <SpaceBetween direction="horizontal" size="xs">
            <Button iconName="refresh" ariaLabel="Refresh the map" loading={loaded.loading} loadingText="Loading" onClick={loaded.reload} />
            <SegmentedControl
              label="Shown as"
              selectedId={view}
              onChange={({ detail }) => setView(detail.selectedId)}
              options={[
                { id: "drawing", text: "Drawing" },
                { id: "table", text: "Table" },
              ]}
            />
          </SpaceBetween>
        }
      >
        Map
      </Header>
      {loaded.error && <NotLoaded what="The map" why={missing ?? loaded.error} onRetry={loaded.reload} />}
      {view === "table" ? (
        <AsTable loaded={{ ...loaded, data: all }} />
      ) : all.length === 0 ? (
        <Container>
          {loaded.loading ? (
            <Box textAlign="center">
              <Spinner size="large" />
            </Box>
          ) : (
            <Empty text="No service account has a role yet. Associate one in a cluster's Access tab, and it is drawn here." next={<Link href={href("clusters")}>To the clusters</Link>} />
          )}
        </Container>
      ) : (
        <>
          <TextFilter
            filteringText={search}
            onChange={({ detail }) => setSearch(detail.filteringText)}
            filteringPlaceholder="Search service accounts, roles, buckets and actions"
            filteringAriaLabel="Search the map"
            filteringClearAriaLabel="Clear the search"
            countText={`${found.length.toLocaleString("en")} ${found.length === 1 ? "service account" : "service accounts"}`}
          />
          {found.length === 0 ? <Empty text="Nothing matches." next={<Button onClick={() => setSearch("")}>Clear the search</Button>} /> : <Drawing graph={drawn} chosen={one?.key} onChoose={choose} />}
          <Box variant="small">A broken line depends on conditions, on a boundary or on a session policy. Choose something to see the ways through it.</Box>
          {one && <About node={one} among={found} />}
        </>
      )}
    </SpaceBetween>
  );
}

function AsTable({ loaded }: { loaded: ReturnType<typeof useLoad<Association[]>> }) {
  return (
    <Listing<Association>
      title="Service accounts"
      one="service account"
      loaded={loaded}
      keyOf={(a) => a.associationId}
      labelOf={accountOf}
      textOf={textOf}
      columns={[
        { id: "account", header: "Service account", width: 220, sort: accountOf, cell: accountOf },
        { id: "role", header: "Role", width: 180, sort: (a) => nameOf(roleOf(a)), cell: (a) => <RoleLink of={a} /> },
        { id: "reaches", header: "Reaches", width: 320, cell: (a) => <Reaches of={a} /> },
      ]}
      empty={{ text: "No service account has a role yet.", next: <Link href={href("clusters")}>To the clusters</Link> }}
    />
  );
}

const RoleLink = ({ of }: { of: Association }) => (
  <SpaceBetween size="xxxs">
    {of.elsewhere ? <Box>{roleOf(of)}</Box> : <Link href={href("roles", nameOf(roleOf(of)))}>{nameOf(roleOf(of))}</Link>}
    {of.targetRoleArn && <Box variant="small">through {nameOf(of.roleArn)}</Box>}
    <Whether of={of} />
  </SpaceBetween>
);

function Whether({ of }: { of: Association }) {
  if (of.missingRoleArn) return <StatusIndicator type="error">{of.missingRoleArn} does not exist</StatusIndicator>;
  if (of.elsewhere) return <StatusIndicator type="info">{of.elsewhere === "AWS" ? "AWS" : `Account ${of.elsewhere}`} decides</StatusIndicator>;
  if (of.decision === "denied") return <StatusIndicator type="error">Pods are refused</StatusIndicator>;
  if (of.decision === "depends") return <StatusIndicator type="info">Depends</StatusIndicator>;
  return <StatusIndicator type="success">Pods become it</StatusIndicator>;
}

const Reaches = ({ of }: { of: Association }) => {
  const all = of.reach ? reached(of.reach) : [];
  return all.length === 0 ? (
    <>-</>
  ) : (
    <SpaceBetween size="xxxs">
      {all.map((r) => (
        <Box key={r.label}>
          {r.label}: {r.actions.join(", ")}
          {r.sure ? "" : " (depends)"}
        </Box>
      ))}
    </SpaceBetween>
  );
};

/** The ways through a node, in words. */
function About({ node, among }: { node: Node; among: readonly Association[] }) {
  const through = among.filter(
    (a) => [accountOf(a), nameOf(roleOf(a))][node.column] === node.label || (node.column === 2 && a.reach && reached(a.reach).some((r) => r.label === node.label)),
  );
  const first = through[0];
  const of = node.column === 2 ? undefined : first;
  return (
    <Container header={<Header variant="h2">{node.label}</Header>}>
      <SpaceBetween size="s">
        {of && <RoleLink of={of} />}
        {of && node.column === 0 && depends(of.dependsOn).map((line) => <Box key={line}>{line}</Box>)}
        {of?.reach?.bounded && <Box>A permissions boundary leaves of it what that allows too.</Box>}
        {of?.reach?.narrowed && node.column === 0 && <Box>The association's session policy leaves of it what that allows too.</Box>}
        {of?.reach && (
          <ul className="findings" aria-label="What its policies say">
            {of.reach.statements.map((s) => (
              <li key={told(s)}>
                {grant(s)} <Box variant="small">{told(s)}</Box>
              </li>
            ))}
          </ul>
        )}
        {node.column > 0 && (
          <ul className="findings" aria-label={node.column === 1 ? "Who becomes it" : "Who reaches it"}>
            {through.slice(0, 50).map((a) => (
              <li key={a.associationId}>
                {accountOf(a)} as {nameOf(roleOf(a))}
              </li>
            ))}
            {through.length > 50 && <li>and {(through.length - 50).toLocaleString("en")} more: search for them</li>}
          </ul>
        )}
      </SpaceBetween>
    </Container>
  );
}
