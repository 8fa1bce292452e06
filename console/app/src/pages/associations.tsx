import {
  DescribePodIdentityAssociationCommand,
  ListPodIdentityAssociationsCommand,
  type PodIdentityAssociation,
  type PodIdentityAssociationSummary,
} from "@aws-sdk/client-eks";
import Box from "@cloudscape-design/components/box";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useState } from "react";
import { clusterArn, useAccess } from "../access";
import { useAct } from "../parts/act";
import { Action } from "../parts/action";
import { useFlash } from "../parts/flash";
import { Listing } from "../parts/listing";
import { useDetails, useLoad } from "../parts/load";
import { type Session, useSession } from "../session";
import { AssociationForm } from "./associationform";
import { DeleteAssociations } from "./associationdelete";

const describe = async (session: Session, clusterName: string, associationId: string) =>
  (await session.eks.send(new DescribePodIdentityAssociationCommand({ clusterName, associationId }))).association!;

/** The Access tab: which service account of the cluster is which role. */
export function Associations({ cluster, practice }: { cluster: string; practice: boolean }) {
  const session = useSession();
  const flash = useFlash();
  const [chosen, setChosen] = useState<PodIdentityAssociationSummary[]>([]);
  const [form, setForm] = useState<{ edited?: PodIdentityAssociation }>();
  const [deleting, setDeleting] = useState(false);
  const loaded = useLoad<PodIdentityAssociationSummary[]>(async (part) => {
    const all: PodIdentityAssociationSummary[] = [];
    let nextToken: string | undefined;
    do {
      const page = await session.eks.send(new ListPodIdentityAssociationsCommand({ clusterName: cluster, maxResults: 100, nextToken }));
      all.push(...(page.associations ?? []));
      nextToken = page.nextToken;
      if (nextToken && all.length % 1000 === 0) part([...all]);
    } while (nextToken);
    return all;
  }, [cluster]);
  const details = useDetails((a: PodIdentityAssociationSummary) => a.associationId!, (a) => describe(session, cluster, a.associationId!));
  const one = chosen.length === 1 ? chosen[0] : undefined;
  const own = clusterArn(session, cluster);
  const missing = useAccess([
    ["eks:ListPodIdentityAssociations", own],
    ["eks:CreatePodIdentityAssociation", own],
    ...chosen.slice(0, 40).flatMap((a): [string, string][] => [
      ["eks:UpdatePodIdentityAssociation", a.associationArn!],
      ["eks:DeletePodIdentityAssociation", a.associationArn!],
    ]),
  ]);
  const reload = () => {
    details.forget();
    setChosen([]);
    loaded.reload();
  };
  const { busy, act } = useAct(flash.error);
  const edit = (a: PodIdentityAssociationSummary) =>
    act(`The association of ${named(a)} cannot be edited`, async () => {
      setForm({ edited: await describe(session, cluster, a.associationId!) }); // of now: what is saved replaces all of it
    });
  const create = (
    <Action key="create" variant="primary" missing={missing("eks:CreatePodIdentityAssociation", own)} onClick={() => setForm({})}>
      Create association
    </Action>
  );
  return (
    <>
      <Listing
        title="Pod identity associations"
        one="association"
        description="Pods of a service account get the credentials of its role."
        loaded={{ ...loaded, reload }}
        keyOf={(a) => a.associationId!}
        labelOf={named}
        textOf={(a) => `${a.namespace}/${a.serviceAccount} ${a.associationId} ${details.of(a)?.roleArn ?? ""}`}
        onShown={details.show}
        selection={{ selected: chosen, onSelect: setChosen, kind: "multi" }}
        columns={[
          { id: "namespace", header: "Namespace", sort: (a) => a.namespace!, cell: (a) => a.namespace },
          { id: "serviceAccount", header: "Service account", sort: (a) => a.serviceAccount!, cell: (a) => a.serviceAccount },
          { id: "role", header: "Role", width: 260, cell: (a) => <Role of={details.of(a)} /> },
          { id: "id", header: "Association id", width: 200, sort: (a) => a.associationId!, cell: (a) => a.associationId },
        ]}
        actions={[
            <Action
              key="edit"
              disabled={!one}
              disabledReason="Choose one association."
              missing={one && missing("eks:UpdatePodIdentityAssociation", one.associationArn!)}
              loading={busy}
              loadingText="Loading"
              onClick={() => edit(one!)}
            >
              Edit
            </Action>,
            <Action
              key="delete"
              disabled={chosen.length === 0}
              disabledReason="Choose the associations first."
              missing={chosen.map((a) => missing("eks:DeletePodIdentityAssociation", a.associationArn!)).find(Boolean)}
              onClick={() => setDeleting(true)}
            >
              Delete
            </Action>,
            create,
        ]}
        empty={{ text: "No service account of this cluster has a role yet. Create an association: its pods get credentials within the second.", next: create }}
      />
      {form && (
        <AssociationForm
          cluster={cluster}
          edited={form.edited}
          askable={!practice && !form.edited}
          known={loaded.data ?? []}
          onClose={(changed) => {
            setForm(undefined);
            if (changed) reload();
          }}
        />
      )}
      {deleting && (
        <DeleteAssociations
          cluster={cluster}
          associations={chosen}
          roleOf={(a) => details.of(a)?.roleArn}
          onClose={(changed) => {
            setDeleting(false);
            if (changed) reload();
          }}
        />
      )}
    </>
  );
}

export const named = (a: PodIdentityAssociationSummary) => `${a.namespace}/${a.serviceAccount}`;

function Role({ of }: { of?: PodIdentityAssociation }) {
  if (!of) return <>-</>;
  return (
    <SpaceBetween size="xxxs">
      <Box>{of.roleArn}</Box>
      {of.targetRoleArn && <Box color="text-body-secondary">then {of.targetRoleArn}</Box>}
    </SpaceBetween>
  );
}
