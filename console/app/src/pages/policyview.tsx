import { GetPolicyCommand, GetPolicyVersionCommand } from "@aws-sdk/client-iam";
import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import Modal from "@cloudscape-design/components/modal";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Spinner from "@cloudscape-design/components/spinner";
import type { Check, Missing } from "../access";
import { Action } from "../parts/action";
import { Command } from "../parts/command";
import { useLoad } from "../parts/load";
import { NotLoaded } from "../parts/notloaded";
import { pretty } from "../parts/policyeditor";
import { useSession } from "../session";
import { policyType } from "./choices";
import { nameOf } from "./reach";

/** What it takes to see what a managed policy says. */
export const toSee = (arn: string): Check[] => [
  ["iam:GetPolicy", arn],
  ["iam:GetPolicyVersion", arn],
];

interface LinkProps {
  arn: string;
  missing: Missing;
  onShow: (arn: string) => void;
}

/** The name of a managed policy, behind which is what it says. */
export const PolicyLink = ({ arn, missing, onShow }: LinkProps) => (
  <Action
    variant="inline-link"
    ariaLabel={`Show the policy ${nameOf(arn)}`}
    missing={toSee(arn)
      .map(([action]) => missing(action, arn))
      .find(Boolean)}
    onClick={() => onShow(arn)}
  >
    {nameOf(arn)}
  </Action>
);

/** What a managed policy says, to read. */
export const PolicyView = ({ arn, onClose }: { arn: string; onClose: () => void }) => (
  <Modal
    visible
    size="large"
    onDismiss={onClose}
    closeAriaLabel="Close"
    header={nameOf(arn)}
    footer={
      <Box float="right">
        <Button variant="primary" onClick={onClose}>
          Done
        </Button>
      </Box>
    }
  >
    <InForce arn={arn} />
  </Modal>
);

/** The version of a managed policy that is in force: its default. */
export function InForce({ arn }: { arn: string }) {
  const session = useSession();
  const loaded = useLoad(async () => {
    const { Policy: policy } = await session.iam.send(new GetPolicyCommand({ PolicyArn: arn }));
    const { PolicyVersion: version } = await session.iam.send(new GetPolicyVersionCommand({ PolicyArn: arn, VersionId: policy!.DefaultVersionId }));
    return { arn, description: policy!.Description, version: version!.VersionId, at: version!.CreateDate!, document: pretty(decodeURIComponent(version!.Document!)) };
  }, [arn]);
  if (loaded.error) return <NotLoaded what={`What ${nameOf(arn)} says`} why={loaded.error} onRetry={loaded.reload} />;
  if (loaded.data?.arn !== arn) return <Spinner />;
  const { description, version, at, document } = loaded.data;
  return (
    <SpaceBetween size="xs">
      {description && <Box>{description}</Box>}
      <Box color="text-body-secondary">
        {policyType(arn)}, <span className="long">{arn}</span>. Its default version, {version}, is of {at.toLocaleString("en")}.
      </Box>
      <Command label={`Policy ${nameOf(arn)}`} text={document} />
    </SpaceBetween>
  );
}
