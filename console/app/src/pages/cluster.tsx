import Alert from "@cloudscape-design/components/alert";
import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import Container from "@cloudscape-design/components/container";
import Header from "@cloudscape-design/components/header";
import KeyValuePairs from "@cloudscape-design/components/key-value-pairs";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Tabs from "@cloudscape-design/components/tabs";
import { Command } from "../parts/command";
import { useLoad } from "../parts/load";
import { State } from "../parts/state";
import { go, href } from "../router";
import { useSession } from "../session";
import type { PageProps } from ".";
import { Addons } from "./addons";
import { Associations } from "./associations";
import { type ClusterState, clusterState, type Step, words } from "./health";

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
      {loaded.error && (
        <Alert type="error" header="The cluster could not be loaded">
          {loaded.error}
        </Alert>
      )}
      <Tabs
        ariaLabel={`Of cluster ${name}`}
        activeTabId={tab}
        onChange={({ detail }) => go("clusters", name, detail.activeTabId)}
        tabs={[
          { id: "overview", label: "Overview", href: href("clusters", name, "overview"), content: <Overview state={loaded.data} /> },
          { id: "access", label: "Access", href: href("clusters", name, "access"), content: <Associations cluster={name} /> },
          { id: "addons", label: "Add-ons", href: href("clusters", name, "addons"), content: <Addons cluster={name} practice={loaded.data?.practice ?? false} /> },
        ]}
      />
    </SpaceBetween>
  );
}

function Overview({ state }: { state?: ClusterState }) {
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
