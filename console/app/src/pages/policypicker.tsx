import type { Policy } from "@aws-sdk/client-iam";
import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { type ReactNode, useState } from "react";
import { Dialog } from "../parts/dialog";
import { Listing } from "../parts/listing";
import { useLoad } from "../parts/load";
import { useSession } from "../session";
import { policies, policyType } from "./choices";
import { InForce } from "./policyview";

interface PickerProps {
  header: string;
  verb: string;
  doing: string;
  busy: boolean;
  kind: "single" | "multi";
  /** The ARNs of those that are not offered. */
  without: readonly string[];
  /** What comes of it. */
  about: ReactNode;
  onPick: (arns: string[]) => void;
  onCancel: () => void;
}

/** Asks for managed policies, and shows what the one that was chosen last says. */
export function PolicyPicker({ header, verb, doing, busy, kind, without, about, onPick, onCancel }: PickerProps) {
  const session = useSession();
  const [chosen, setChosen] = useState<Policy[]>([]);
  const [typed, setTyped] = useState("");
  const loaded = useLoad<Policy[]>((part) => policies(session, part), []);
  const arns = loaded.error && typed.trim() !== "" ? [typed.trim()] : chosen.map((p) => p.Arn!);
  const last = chosen.at(-1);
  return (
    <Dialog
      size="large"
      header={header}
      verb={verb}
      doing={doing}
      busy={busy}
      held={busy}
      lacks={arns.length === 0 ? "Choose a policy." : undefined}
      onDo={() => onPick(arns)}
      onCancel={onCancel}
    >
      <SpaceBetween size="m">
        {about}
        <Listing<Policy>
          title="Policies"
          one="policy"
          loaded={{ ...loaded, data: loaded.data?.filter((p) => !without.includes(p.Arn!)) }}
          keyOf={(p) => p.Arn!}
          labelOf={(p) => p.PolicyName!}
          textOf={(p) => `${p.Arn} ${policyType(p.Arn!)}`}
          selection={{ selected: chosen, onSelect: setChosen, kind }}
          pageSize={10}
          columns={[
            { id: "name", header: "Name", width: 200, sort: (p) => p.PolicyName!, cell: (p) => p.PolicyName },
            { id: "type", header: "Type", sort: (p) => policyType(p.Arn!), cell: (p) => policyType(p.Arn!) },
            { id: "uses", header: "Attached to", sort: (p) => p.AttachmentCount ?? 0, cell: (p) => p.AttachmentCount },
          ]}
          empty={{ text: "There is no other policy." }}
        />
        {loaded.error && (
          <FormField label="Policy ARN" constraintText="The policies could not be listed, so type the ARN.">
            <Input value={typed} onChange={({ detail }) => setTyped(detail.value)} placeholder="arn:aws:iam::111122223333:policy/name" />
          </FormField>
        )}
        {last && <InForce arn={last.Arn!} />}
      </SpaceBetween>
    </Dialog>
  );
}
