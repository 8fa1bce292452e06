import { type Addon, DescribeAddonCommand, ListAddonsCommand } from "@aws-sdk/client-eks";
import Alert from "@cloudscape-design/components/alert";
import Badge from "@cloudscape-design/components/badge";
import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import Cards from "@cloudscape-design/components/cards";
import Header from "@cloudscape-design/components/header";
import KeyValuePairs from "@cloudscape-design/components/key-value-pairs";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useState } from "react";
import { clusterArn, useAccess } from "../access";
import { Action } from "../parts/action";
import { Empty } from "../parts/listing";
import { useLoad } from "../parts/load";
import { NotLoaded } from "../parts/notloaded";
import { State } from "../parts/state";
import { type Session, useSession } from "../session";
import { AddonForm } from "./addonform";
import { DeleteAddon } from "./addondelete";
import { addonKind, words } from "./health";

async function addonsOf(session: Session, clusterName: string): Promise<Addon[]> {
  const { addons = [] } = await session.eks.send(new ListAddonsCommand({ clusterName }));
  const all = addons.map(async (addonName) => (await session.eks.send(new DescribeAddonCommand({ clusterName, addonName }))).addon!);
  return Promise.all(all);
}

/** The Add-ons tab. */
export function Addons({ cluster, practice }: { cluster: string; practice: boolean }) {
  const session = useSession();
  const loaded = useLoad(() => addonsOf(session, cluster), [cluster], 10);
  const [form, setForm] = useState<{ edited?: Addon }>();
  const [deleting, setDeleting] = useState<Addon>();
  const own = clusterArn(session, cluster);
  const missing = useAccess([
    ["eks:CreateAddon", own],
    ...(loaded.data ?? []).flatMap((a): [string, string][] => [["eks:UpdateAddon", a.addonArn!], ["eks:DeleteAddon", a.addonArn!]]),
  ]);
  const more = (
    <Action variant="primary" missing={missing("eks:CreateAddon", own)} onClick={() => setForm({})}>
      Get more add-ons
    </Action>
  );
  const closed = (changed: boolean) => {
    setForm(undefined);
    setDeleting(undefined);
    if (changed) loaded.reload();
  };
  return (
    <SpaceBetween size="s">
      {loaded.error && <NotLoaded what="The add-ons" why={loaded.error} onRetry={loaded.reload} />}
      {practice && <Alert type="info">A practice cluster has no nodes. What is created here is kept, and nothing runs: lanyard dev is its agent.</Alert>}
      <Cards
        items={loaded.data ?? []}
        loading={loaded.loading && !loaded.data}
        loadingText="Loading add-ons"
        trackBy={(a) => a.addonName!}
        cardsPerRow={[{ cards: 1 }, { minWidth: 900, cards: 2 }]}
        ariaLabels={{ cardsLabel: "Add-ons", itemSelectionLabel: (_, a) => a.addonName!, selectionGroupLabel: "Add-ons" }}
        header={
          <Header
            variant="h2"
            counter={loaded.data && `(${loaded.data.length})`}
            actions={
              <SpaceBetween direction="horizontal" size="xs">
                <Button iconName="refresh" ariaLabel="Refresh add-ons" loading={loaded.loading} loadingText="Loading" onClick={loaded.reload} />
                {more}
              </SpaceBetween>
            }
          >
            Add-ons
          </Header>
        }
        empty={<Empty text="No add-on yet. Pods get their credentials from the Pod Identity agent: get it first." next={more} />}
        cardDefinition={{
          header: (a) => a.addonName,
          sections: [
            { id: "facts", content: (a) => <KeyValuePairs columns={2} minColumnWidth={180} items={facts(a)} /> },
            {
              id: "actions",
              content: (a) => (
                <SpaceBetween direction="horizontal" size="xs">
                  <Action missing={missing("eks:UpdateAddon", a.addonArn!)} ariaLabel={`Edit ${a.addonName}`} onClick={() => setForm({ edited: a })}>
                    Edit
                  </Action>
                  <Action missing={missing("eks:DeleteAddon", a.addonArn!)} ariaLabel={`Delete ${a.addonName}`} onClick={() => setDeleting(a)}>
                    Delete
                  </Action>
                </SpaceBetween>
              ),
            },
          ],
        }}
      />
      {form && <AddonForm cluster={cluster} edited={form.edited} installed={(loaded.data ?? []).map((a) => a.addonName!)} onClose={closed} />}
      {deleting && <DeleteAddon cluster={cluster} addon={deleting} onClose={closed} />}
    </SpaceBetween>
  );
}

const facts = (a: Addon) => [
  { label: "Status", value: <State step={{ kind: addonKind(a.status), state: words(a.status) }} /> },
  { label: "Version", value: a.addonVersion },
  { label: "Health", value: <Health of={a} /> },
  { label: "Configuration", value: a.configurationValues ? <pre className="code">{a.configurationValues}</pre> : "None" },
];

function Health({ of }: { of: Addon }) {
  const issues = of.health?.issues ?? [];
  if (issues.length === 0) return <>{of.status === "ACTIVE" ? "No issues" : "No issues told yet"}</>;
  return (
    <SpaceBetween size="xs">
      {issues.map((issue, i) => (
        <div key={i}>
          <Badge color="red">{issue.code}</Badge> <Box variant="span">{issue.message}</Box>
        </div>
      ))}
    </SpaceBetween>
  );
}
