import { DeleteRolePermissionsBoundaryCommand, PutRolePermissionsBoundaryCommand } from "@aws-sdk/client-iam";
import Alert from "@cloudscape-design/components/alert";
import Box from "@cloudscape-design/components/box";
import Container from "@cloudscape-design/components/container";
import Header from "@cloudscape-design/components/header";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useState } from "react";
import type { Missing } from "../access";
import { useAct } from "../parts/act";
import { Action } from "../parts/action";
import { Dialog } from "../parts/dialog";
import { useFlash } from "../parts/flash";
import { useSession } from "../session";
import { policyType } from "./choices";
import { PolicyPicker } from "./policypicker";
import { PolicyLink } from "./policyview";
import { nameOf } from "./reach";

interface BoundaryProps {
  role: string;
  arn: string;
  /** The ARN of the policy that bounds the role. */
  boundary?: string;
  missing: Missing;
  onShow: (arn: string) => void;
  onChanged: () => void;
}

/** The permissions boundary of a role. */
export function Boundary({ role, arn, boundary, missing, onShow, onChanged }: BoundaryProps) {
  const session = useSession();
  const flash = useFlash();
  const [asking, setAsking] = useState<"set" | "remove">();
  const { busy, act } = useAct(flash.error);
  const run = async (attempted: string, done: string, send: () => Promise<unknown>) => {
    await act(attempted, async () => {
      await send();
      flash.success(done);
      onChanged();
    });
    setAsking(undefined);
  };
  const set = ([PermissionsBoundary]: string[]) =>
    run("The boundary was not set", `The boundary ${nameOf(PermissionsBoundary!)} is set, for running pods too.`, () =>
      session.iam.send(new PutRolePermissionsBoundaryCommand({ RoleName: role, PermissionsBoundary })),
    );
  const remove = () =>
    run("The boundary was not removed", "The boundary is removed.", () => session.iam.send(new DeleteRolePermissionsBoundaryCommand({ RoleName: role })));
  return (
    <Container
      header={
        <Header
          variant="h2"
          description="A managed policy beyond which the role may do nothing, whatever its other policies allow."
          actions={
            <SpaceBetween direction="horizontal" size="xs">
              <Action disabled={!boundary} disabledReason="There is none to remove." missing={missing("iam:DeleteRolePermissionsBoundary", arn)} onClick={() => setAsking("remove")}>
                Remove boundary
              </Action>
              <Action missing={missing("iam:PutRolePermissionsBoundary", arn)} onClick={() => setAsking("set")}>
                {boundary ? "Change boundary" : "Set boundary"}
              </Action>
            </SpaceBetween>
          }
        >
          Permissions boundary
        </Header>
      }
    >
      {boundary ? (
        <SpaceBetween size="xxs">
          <PolicyLink arn={boundary} missing={missing} onShow={onShow} />
          <Box color="text-body-secondary">
            {policyType(boundary)}, <span className="long">{boundary}</span>
          </Box>
        </SpaceBetween>
      ) : (
        <Box>The role has no boundary.</Box>
      )}
      {asking === "set" && (
        <PolicyPicker
          header={`Set the boundary of ${role}`}
          verb="Set"
          doing="Setting"
          busy={busy}
          kind="single"
          without={boundary ? [boundary] : []}
          about="It allows nothing by itself. What it does not allow, sessions of the role may not do within a second, those of running pods neither."
          onPick={set}
          onCancel={() => setAsking(undefined)}
        />
      )}
      {asking === "remove" && (
        <Dialog header={`Remove the boundary of ${role}`} verb="Remove" doing="Removing" busy={busy} held={busy} onDo={remove} onCancel={() => setAsking(undefined)}>
          <Alert type="warning">Sessions of the role may then do all that its policies allow, those of running pods too, within a second.</Alert>
        </Dialog>
      )}
    </Container>
  );
}
