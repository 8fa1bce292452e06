import { CreateRoleCommand, type Role } from "@aws-sdk/client-iam";
import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import StatusIndicator from "@cloudscape-design/components/status-indicator";
import { useState } from "react";
import { roleArn, useAccess } from "../access";
import { useAct } from "../parts/act";
import { Action } from "../parts/action";
import { Dialog } from "../parts/dialog";
import { useFlash } from "../parts/flash";
import { Listing } from "../parts/listing";
import { useLoad } from "../parts/load";
import { podsTrust, PolicyEditor } from "../parts/policyeditor";
import { go, href } from "../router";
import { useSession } from "../session";
import { roles, trustsPods } from "./choices";

/** The account's roles, but those that are a cluster's own. */
export default function Roles() {
  const session = useSession();
  const [creating, setCreating] = useState(false);
  const loaded = useLoad<Role[]>(() => roles(session), []);
  const any = roleArn(session, "*");
  const missing = useAccess([["iam:CreateRole", any]]);
  const create = (
    <Action key="create" variant="primary" missing={missing("iam:CreateRole", any)} onClick={() => setCreating(true)}>
      Create role
    </Action>
  );
  return (
    <>
      <Listing
        title="Roles"
        one="role"
        level="h1"
        description="What pods and people become for a while, and what they then may do."
        loaded={loaded}
        keyOf={(r) => r.RoleName!}
        textOf={(r) => `${r.Arn} ${r.Description ?? ""}`}
        columns={[
          { id: "name", header: "Name", sort: (r) => r.RoleName!, cell: (r) => <Link href={href("roles", r.RoleName!)}>{r.RoleName}</Link> },
          {
            id: "trust",
            header: "For pods",
            sort: (r) => (trustsPods(r) ? 0 : 1),
            cell: (r) => <StatusIndicator type={trustsPods(r) ? "success" : "stopped"}>{trustsPods(r) ? "Trusts pods" : "Does not trust pods"}</StatusIndicator>,
          },
          { id: "description", header: "Description", width: 220, cell: (r) => r.Description || "-" },
          { id: "created", header: "Created", sort: (r) => r.CreateDate?.getTime() ?? 0, cell: (r) => r.CreateDate?.toLocaleString("en") ?? "-" },
        ]}
        actions={[create]}
        empty={{ text: "No role yet. Create one that trusts pods, give it permissions, and associate it with a service account.", next: create }}
      />
      {creating && <CreateRole onClose={() => setCreating(false)} />}
    </>
  );
}

function CreateRole({ onClose }: { onClose: () => void }) {
  const session = useSession();
  const flash = useFlash();
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const [trust, setTrust] = useState(podsTrust);
  const [good, setGood] = useState(true);
  const { busy, error, act } = useAct();
  const save = () =>
    act("The role was not created", async () => {
      await session.iam.send(new CreateRoleCommand({ RoleName: name, Description: description || undefined, AssumeRolePolicyDocument: trust }));
      flash.success(`The role ${name} is created. It may do nothing yet: give it permissions.`);
      onClose();
      go("roles", name);
    });
  return (
    <Dialog
      size="large"
      header="Create a role"
      verb="Create"
      doing="Saving"
      busy={busy}
      lacks={name === "" ? "A name is needed." : good ? undefined : "The trust policy has errors."}
      onDo={save}
      onCancel={onClose}
    >
      <SpaceBetween size="m">
        {error}
        <FormField label="Name" constraintText="1 to 64 letters, digits and +=,.@_-.">
          <Input value={name} onChange={({ detail }) => setName(detail.value)} placeholder="reports" />
        </FormField>
        <FormField label="Description">
          <Input value={description} onChange={({ detail }) => setDescription(detail.value)} />
        </FormField>
        <PolicyEditor label="Trust policy" description="Who may become the role. This one is for pods." kind="trust" value={trust} onChange={setTrust} onJudged={setGood} />
      </SpaceBetween>
    </Dialog>
  );
}
