import {
  CreatePodIdentityAssociationCommand,
  type PodIdentityAssociation,
  type PodIdentityAssociationSummary,
  UpdatePodIdentityAssociationCommand,
} from "@aws-sdk/client-eks";
import Autosuggest from "@cloudscape-design/components/autosuggest";
import Checkbox from "@cloudscape-design/components/checkbox";
import ExpandableSection from "@cloudscape-design/components/expandable-section";
import FormField from "@cloudscape-design/components/form-field";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Textarea from "@cloudscape-design/components/textarea";
import { useState } from "react";
import { useAct } from "../parts/act";
import { Dialog } from "../parts/dialog";
import { useFlash } from "../parts/flash";
import { useLoad } from "../parts/load";
import { useSession } from "../session";
import { roles, serviceAccounts, trustsPods } from "./choices";

interface FormProps {
  cluster: string;
  /** The one that is changed; without it a new one is created. */
  edited?: PodIdentityAssociation;
  /** Whether the cluster can be asked for its service accounts, and needs to be. */
  askable: boolean;
  known: readonly PodIdentityAssociationSummary[];
  onClose: (changed: boolean) => void;
}

export function AssociationForm({ cluster, edited, askable, known, onClose }: FormProps) {
  const session = useSession();
  const flash = useFlash();
  const [role, setRole] = useState(edited?.roleArn ?? "");
  const [namespace, setNamespace] = useState(edited?.namespace ?? "");
  const [serviceAccount, setServiceAccount] = useState(edited?.serviceAccount ?? "");
  const [target, setTarget] = useState(edited?.targetRoleArn ?? "");
  const [policy, setPolicy] = useState(edited?.policy ?? "");
  const [noTags, setNoTags] = useState(edited?.disableSessionTags ?? false);
  const { busy, error, act } = useAct();
  const offered = useLoad(() => roles(session), []);
  const [asked, setAsked] = useState("");
  const inCluster = useLoad(async () => (askable ? serviceAccounts(session, cluster, asked) : undefined), [cluster, asked]);
  const associated = new Set(known.map((a) => `${a.namespace}/${a.serviceAccount}`));
  const accounts = inCluster.data?.serviceAccounts ?? known.map((a) => ({ namespace: a.namespace!, name: a.serviceAccount! }));
  const namespaces = inCluster.data?.namespaces ?? accounts.map((a) => a.namespace);
  const ready = role !== "" && namespace !== "" && serviceAccount !== "";

  const save = () =>
    act(`The association was not ${edited ? "changed" : "created"}`, async () => {
      const common = { clusterName: cluster, roleArn: role, disableSessionTags: noTags };
      if (edited) {
        const changed = { targetRoleArn: target, policy }; // empty, it is taken away; left out, it would stay
        await session.eks.send(new UpdatePodIdentityAssociationCommand({ ...common, ...changed, associationId: edited.associationId }));
      } else {
        const rest = { targetRoleArn: target || undefined, policy: policy || undefined };
        await session.eks.send(new CreatePodIdentityAssociationCommand({ ...common, ...rest, namespace, serviceAccount }));
      }
      flash.success(
        edited
          ? `The association of ${namespace}/${serviceAccount} is changed. Sessions that run keep their role until they are renewed, within the hour.`
          : `Pods of ${namespace}/${serviceAccount} get credentials of ${role.split("/").pop()}.`,
      );
      onClose(true);
    });

  return (
    <Dialog
      size="medium"
      header={edited ? "Edit the association" : "Create a pod identity association"}
      verb={edited ? "Save" : "Create"}
      doing="Saving"
      busy={busy}
      lacks={ready ? undefined : "Role, namespace and service account are needed."}
      onDo={save}
      onCancel={() => onClose(false)}
    >
      <SpaceBetween size="m">
        {error}
        <RoleField label="IAM role" value={role} onChange={setRole} offered={offered.data} loading={offered.loading} problem={offered.error} />
        <FormField
          label="Namespace"
          description={edited && "An association keeps its service account. Another one needs an association of its own."}
          constraintText={inCluster.error && `The cluster could not be asked what it has, so type it. ${inCluster.error}`}
        >
          <Suggest
            label="Namespace"
            value={namespace}
            onChange={(text) => {
              setNamespace(text);
              if (inCluster.data?.truncated && inCluster.data.namespaces.includes(text)) setAsked(text);
            }}
            options={[...new Set(namespaces)].map((value) => ({ value }))}
            loading={inCluster.loading}
            disabled={!!edited}
          />
        </FormField>
        <FormField label="Service account">
          <Suggest
            label="Service account"
            value={serviceAccount}
            onChange={setServiceAccount}
            options={accounts
              .filter((a) => a.namespace === namespace)
              .map((a) => ({ value: a.name, description: associated.has(`${namespace}/${a.name}`) ? "Has an association" : undefined }))}
            loading={inCluster.loading}
            disabled={!!edited}
          />
        </FormField>
        <ExpandableSection headerText="Optional settings" defaultExpanded={!!(target || policy || noTags)}>
          <SpaceBetween size="m">
            <RoleField
              label="Target role"
              description="The role above becomes this one, of another account perhaps, and pods get its credentials."
              value={target}
              onChange={setTarget}
              offered={offered.data}
              loading={offered.loading}
            />
            <FormField label="Session policy" description="Narrows what these pods may do, to less than the role may. JSON.">
              <Textarea value={policy} onChange={({ detail }) => setPolicy(detail.value)} rows={6} spellcheck={false} />
            </FormField>
            <Checkbox checked={noTags} onChange={({ detail }) => setNoTags(detail.checked)} description="Policies then cannot tell the role's pods apart.">
              Leave out the session tags
            </Checkbox>
          </SpaceBetween>
        </ExpandableSection>
      </SpaceBetween>
    </Dialog>
  );
}

interface RoleFieldProps {
  label: string;
  description?: string;
  value: string;
  onChange: (arn: string) => void;
  offered?: Awaited<ReturnType<typeof roles>>;
  loading: boolean;
  problem?: string;
}

function RoleField({ label, description, value, onChange, offered, loading, problem }: RoleFieldProps) {
  const options = (offered ?? []).map((r) => ({ value: r.Arn!, label: r.RoleName, description: r.Arn, trusted: trustsPods(r) }));
  const group = (text: string, trusted: boolean) => ({ label: text, options: options.filter((o) => o.trusted === trusted) });
  const chosen = options.find((o) => o.value === value);
  const groups = [group("Trust pods.eks.amazonaws.com", true), group("Do not trust it yet", false)];
  return (
    <FormField
      label={label}
      description={description}
      constraintText={problem ? `The roles could not be listed, so type the ARN. ${problem}` : "Choose one, or type an ARN."}
      warningText={chosen && !chosen.trusted && label === "IAM role" && "Its trust policy does not name pods.eks.amazonaws.com: pods will be refused until it does."}
    >
      <Autosuggest
        value={value}
        onChange={({ detail }) => onChange(detail.value)}
        options={groups.filter((g) => g.options.length > 0)}
        statusType={loading ? "loading" : "finished"}
        loadingText="Loading the roles"
        enteredTextLabel={(text) => `Use: ${text}`}
        placeholder="arn:aws:iam::111122223333:role/name"
        ariaLabel={label}
        empty="No role yet"
        clearAriaLabel={`Clear ${label.toLowerCase()}`}
        virtualScroll={options.length > 500}
      />
    </FormField>
  );
}

interface SuggestProps {
  label: string;
  value: string;
  options: { value: string; description?: string }[];
  loading: boolean;
  disabled: boolean;
  onChange: (text: string) => void;
}

const Suggest = ({ label, value, options, loading, disabled, onChange }: SuggestProps) => (
  <Autosuggest
    value={value}
    disabled={disabled}
    onChange={({ detail }) => onChange(detail.value)}
    options={options.toSorted((a, b) => (a.value < b.value ? -1 : 1))}
    statusType={loading ? "loading" : "finished"}
    loadingText="Asking the cluster"
    enteredTextLabel={(text) => `Use: ${text}`}
    ariaLabel={label}
    clearAriaLabel={`Clear ${label.toLowerCase()}`}
    virtualScroll={options.length > 500}
  />
);
