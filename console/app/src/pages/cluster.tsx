import Alert from "@cloudscape-design/components/alert";
import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import Container from "@cloudscape-design/components/container";
import Header from "@cloudscape-design/components/header";
import KeyValuePairs from "@cloudscape-design/components/key-value-pairs";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Tabs from "@cloudscape-design/components/tabs";
import { useState } from "react";
import { clusterArn, useAccess } from "../access";
import { useAct } from "../parts/act";
import { Action } from "../parts/action";
import { Command } from "../parts/command";
import { useFlash } from "../parts/flash";
import { useLoad } from "../parts/load";
import { NotLoaded } from "../parts/notloaded";
import { State } from "../parts/state";
import { go, href } from "../router";
import { useSession } from "../session";
import type { PageProps } from ".";
import { Addons } from "./addons";
import { Associations } from "./associations";
import { type ClusterState, clusterState, type Step, words } from "./health";
import { type Activation, Joining, reactivate } from "./register";

export default function ClusterPage({ params }: PageProps) {
  const name = params.name!;
  const session = useSession();
  const loaded = useLoad(() => clusterState(session, name), [name], 15);
  const tab = params.tab ?? "overview";
  return (
    <SpaceBetween size="l">
      <Header variant="h1" actions={<Button iconName="refresh" ariaLabel="Refresh the cluster" loading={loaded.loading} loadingText="Loading" onClick={loaded.reload} />}>
        {name}
      </Header>
      {loaded.error && <NotLoaded what="The cluster" why={loaded.error} onRetry={loaded.reload} />}
      <Tabs
        ariaLabel={`Of cluster ${name}`}
        activeTabId={tab}
        onChange={({ detail }) => go("clusters", name, detail.activeTabId)}
        tabs={[
          { id: "overview", label: "Overview", href: href("clusters", name, "overview"), content: <Overview name={name} state={loaded.data} /> },
          { id: "access", label: "Access", href: href("clusters", name, "access"), content: <Associations cluster={name} practice={loaded.data?.practice ?? false} /> },
          { id: "addons", label: "Add-ons", href: href("clusters", name, "addons"), content: <Addons cluster={name} practice={loaded.data?.practice ?? false} /> },
        ]}
      />
    </SpaceBetween>
  );
}

function Overview({ name, state }: { name: string; state?: ClusterState }) {
  const broken = state?.steps.filter((s) => s.fix) ?? [];
  const c = state?.cluster;
  return (
    <SpaceBetween size="l">
      <Container header={<Header variant="h2">Health</Header>}>
        <SpaceBetween size="m">
          <KeyValuePairs
            columns={4}
            minColumnWidth={180}
            items={[
              { label: "Status", value: c ? words(c.status) : "-" },
              ...(state?.steps ?? []).map((step) => ({ label: step.name, value: <State step={step} /> })),
            ]}
          />
          {broken.map((step) => (
            <Fix key={step.name} step={step} />
          ))}
          {c?.status === "PENDING" && <Reactivate cluster={name} />}
        </SpaceBetween>
      </Container>
      <Container header={<Header variant="h2">Details</Header>}>
        <KeyValuePairs
          columns={2}
          minColumnWidth={220}
          items={[
            { label: "ARN", value: c?.arn ?? "-" },
            { label: "Id", value: c?.id ?? "-" },
            { label: "Registered", value: c?.createdAt?.toLocaleString() ?? "-" },
            { label: "Token issuer", value: c?.identity?.oidc?.issuer ?? "-" },
          ]}
        />
      </Container>
    </SpaceBetween>
  );
}

const Fix = ({ step }: { step: Step }) => (
  <Alert type={step.kind === "error" || step.kind === "warning" ? step.kind : "info"} header={`${step.name}: ${step.state.toLowerCase()}`}>
    <Box variant="span">{step.fix}</Box>
    {step.command && <Command label="Command" text={step.command} />}
  </Alert>
);

/** For who lost the pair that was shown once. */
function Reactivate({ cluster }: { cluster: string }) {
  const session = useSession();
  const flash = useFlash();
  const own = clusterArn(session, cluster);
  const missing = useAccess([["lanyard:ReactivateCluster", own]]);
  const [pair, setPair] = useState<Activation>();
  const { busy, act } = useAct(flash.error);
  const take = () => act("There is no new activation pair", async () => setPair(await reactivate(session, cluster)));
  return (
    <>
      <Action missing={missing("lanyard:ReactivateCluster", own)} loading={busy} loadingText="Taking it" onClick={take}>
        Take a new activation pair
      </Action>
      {pair && <Joining title={`A new activation pair for ${cluster}`} pair={pair} onClose={() => setPair(undefined)} />}
    </>
  );
}
