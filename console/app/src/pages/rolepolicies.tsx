import { AttachRolePolicyCommand, DetachRolePolicyCommand } from "@aws-sdk/client-iam";
import Alert from "@cloudscape-design/components/alert";
import { useState } from "react";
import type { Missing } from "../access";
import { useAct } from "../parts/act";
import { Action } from "../parts/action";
import { Dialog } from "../parts/dialog";
import { useFlash } from "../parts/flash";
import { Listing } from "../parts/listing";
import type { Loaded } from "../parts/load";
import { useSession } from "../session";
import { policyType } from "./choices";
import { PolicyPicker } from "./policypicker";
import { PolicyLink } from "./policyview";
import { nameOf } from "./reach";

interface AttachedProps {
  role: string;
  arn: string;
  /** The ARNs of the managed policies that the role has. */
  attached: Loaded<readonly string[]>;
  missing: Missing;
  onShow: (arn: string) => void;
}

/** The managed policies of a role. */
export function Attached({ role, arn, attached, missing, onShow }: AttachedProps) {
  const session = useSession();
  const flash = useFlash();
  const [chosen, setChosen] = useState<string[]>([]);
  const [asking, setAsking] = useState<"attach" | "detach">();
  const { busy, act } = useAct(flash.error);
  // One after the other: each of them changes the role.
  const change = async (arns: string[], done: string, command: typeof AttachRolePolicyCommand | typeof DetachRolePolicyCommand) => {
    const changed: string[] = [];
    for (const PolicyArn of arns) {
      await act(`The policy ${nameOf(PolicyArn)} was not ${done}`, async () => {
        await session.iam.send(new command({ RoleName: role, PolicyArn }));
        changed.push(nameOf(PolicyArn));
      });
    }
    if (changed.length > 0) flash.success(`${changed.join(", ")} ${changed.length === 1 ? "is" : "are"} ${done}, for running pods too.`);
    setAsking(undefined);
    setChosen([]);
    attached.reload();
  };
  const attach = (
    <Action key="attach" missing={missing("iam:AttachRolePolicy", arn)} onClick={() => setAsking("attach")}>
      Attach policies
    </Action>
  );
  return (
    <>
      <Listing<string>
        title="Managed policies"
        one="policy"
        description="Policies that several roles may have. A new default version of one is in force for all of them at once."
        loaded={attached}
        keyOf={(p) => p}
        labelOf={nameOf}
        textOf={(p) => `${p} ${policyType(p)}`}
        selection={{ selected: chosen, onSelect: setChosen, kind: "multi" }}
        columns={[
          { id: "name", header: "Name", width: 200, sort: nameOf, cell: (p) => <PolicyLink arn={p} missing={missing} onShow={onShow} /> },
          { id: "type", header: "Type", sort: policyType, cell: policyType },
          { id: "arn", header: "ARN", width: 260, cell: (p) => <span className="long">{p}</span> },
        ]}
        actions={[
          <Action
            key="detach"
            disabled={chosen.length === 0}
            disabledReason="Choose the policies first."
            missing={missing("iam:DetachRolePolicy", arn)}
            onClick={() => setAsking("detach")}
          >
            Detach
          </Action>,
          attach,
        ]}
        empty={{ text: "No managed policy is attached.", next: attach }}
      />
      {asking === "attach" && (
        <PolicyPicker
          header={`Attach policies to ${role}`}
          verb="Attach"
          doing="Attaching"
          busy={busy}
          kind="multi"
          without={attached.data ?? []}
          about="What they allow, sessions of the role may do within a second, those of running pods too."
          onPick={(arns) => change(arns, "attached", AttachRolePolicyCommand)}
          onCancel={() => setAsking(undefined)}
        />
      )}
      {asking === "detach" && (
        <Detach role={role} policies={chosen} busy={busy} onDetach={() => change(chosen, "detached", DetachRolePolicyCommand)} onCancel={() => setAsking(undefined)} />
      )}
    </>
  );
}

interface DetachProps {
  role: string;
  policies: string[];
  busy: boolean;
  onDetach: () => void;
  onCancel: () => void;
}

const Detach = ({ role, policies, busy, onDetach, onCancel }: DetachProps) => (
  <Dialog header={`Detach from ${role}`} verb="Detach" doing="Detaching" busy={busy} held={busy} onDo={onDetach} onCancel={onCancel}>
    <Alert type="warning">
      What {policies.map(nameOf).join(", ")} {policies.length === 1 ? "says" : "say"} holds no longer for sessions of the role, those of running pods too, within a
      second. {policies.length === 1 ? "It stays" : "They stay"} in the account, and can be attached again.
    </Alert>
  </Dialog>
);
