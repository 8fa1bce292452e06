import { RegisterClusterCommand } from "@aws-sdk/client-eks";
import Alert from "@cloudscape-design/components/alert";
import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import ExpandableSection from "@cloudscape-design/components/expandable-section";
import FormField from "@cloudscape-design/components/form-field";
import Input, { type InputProps } from "@cloudscape-design/components/input";
import Modal from "@cloudscape-design/components/modal";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useEffect, useRef, useState } from "react";
import { roleArn } from "../access";
import { useAct } from "../parts/act";
import { Command } from "../parts/command";
import { Dialog } from "../parts/dialog";
import { type Session, useSession } from "../session";
import { join } from "./health";

/** Registers a cluster, and then shows how it joins, with what is shown this once. */
export function Register({ onClose }: { onClose: () => void }) {
  const session = useSession();
  const [name, setName] = useState("");
  const { busy, error, act } = useAct();
  const [made, setMade] = useState<Activation>();
  const field = useRef<InputProps.Ref>(null);
  useEffect(() => {
    const drawn = requestAnimationFrame(() => field.current?.focus()); // the dialog begins at its button to close
    return () => cancelAnimationFrame(drawn);
  }, []);
  const valid = /^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$/.test(name);
  const register = () =>
    act("The cluster was not registered", async () => {
      const connectorConfig = { provider: "OTHER" as const, roleArn: roleArn(session, "lanyard-join") };
      const { cluster } = await session.eks.send(new RegisterClusterCommand({ name, connectorConfig }));
      const { activationId, activationCode, activationExpiry } = cluster!.connectorConfig!;
      setMade({ name, id: cluster!.id!, activationId: activationId!, activationCode: activationCode!, expiry: activationExpiry! });
    });
  if (made) return <Joining title={`${name} is registered: now it joins`} pair={made} onClose={onClose} />;
  return (
    <Dialog header="Register a cluster" verb="Register" doing="Registering" busy={busy} lacks={valid ? undefined : "Give it a name first."} onDo={register} onCancel={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (valid && !busy) void register();
        }}
      >
        <SpaceBetween size="m">
          {error}
          <FormField
            label="Name"
            description="By which it is called in associations, policies and the audit."
            errorText={name !== "" && !valid && "1 to 100 letters, digits, dashes and underscores; a letter or digit first."}
          >
            <Input ref={field} value={name} onChange={({ detail }) => setName(detail.value)} spellcheck={false} autoComplete={false} />
          </FormField>
        </SpaceBetween>
      </form>
    </Dialog>
  );
}

/** What a cluster is activated with: good for one call, and shown once. */
export interface Activation {
  name: string;
  id: string;
  activationId: string;
  activationCode: string;
  expiry: Date;
}

/** Takes a new pair for a cluster, which ends the former one. */
export async function reactivate(session: Session, cluster: string): Promise<Activation> {
  const path = `/clusters/${encodeURIComponent(cluster)}/activation`;
  const pair = await session.call<Omit<Activation, "expiry"> & { activationExpiry: number }>("POST", path);
  return { ...pair, expiry: new Date(pair.activationExpiry * 1000) };
}

/** Shows how a cluster joins. */
export function Joining({ title, pair, onClose }: { title: string; pair: Activation; onClose: () => void }) {
  const session = useSession();
  return (
    <Modal
      visible
      size="large"
      onDismiss={onClose}
      closeAriaLabel="Close"
      header={title}
      footer={
        <Box float="right">
          <Button variant="primary" onClick={onClose}>
            Done
          </Button>
        </Box>
      }
    >
      <SpaceBetween size="m">
        <Box variant="p">
          Where <Box variant="code">kubectl</Box> reaches the cluster, and <Box variant="code">AWS_ENDPOINT_URL</Box> names this server:
        </Box>
        <Command label="Join command" text={join(pair.name)} />
        <Box variant="p">It activates the cluster, installs the connector and waits until that has reported.</Box>
        <ExpandableSection headerText="By hand, with the Helm chart" variant="footer">
          <SpaceBetween size="s">
            <Alert type="warning">
              The activation code is shown this once, and is good until {pair.expiry.toLocaleString()}. It is used up by the first who shows it.
            </Alert>
            <Command label="Activation pair" text={secret(pair)} />
            <Command label="Helm command" text={helm(pair, session)} />
          </SpaceBetween>
        </ExpandableSection>
      </SpaceBetween>
    </Modal>
  );
}

// By standard input: what stands on a command line, every process of the machine can read.
const secret = (c: Activation) => `kubectl create namespace lanyard-system
kubectl apply -f - <<'EOF'
apiVersion: v1
kind: Secret
metadata: {namespace: lanyard-system, name: lanyard-activation}
stringData:
  id: "${c.activationId}"
  code: "${c.activationCode}"
EOF`;

const helm = (c: Activation, session: Session) => `helm install lanyard deploy/helm/lanyard --namespace lanyard-system \\
  --set server.enabled=false --set connector.enabled=true \\
  --set connector.cluster=${c.name} --set connector.roleArn=${roleArn(session, `lanyard-connector-${c.id}`)} \\
  --set connector.server=${window.location.origin} --set-file connector.ca=ca.pem \\
  --set connector.activationSecret=lanyard-activation`;
