import {
  type Addon,
  type AddonInfo,
  CreateAddonCommand,
  DescribeAddonConfigurationCommand,
  DescribeAddonVersionsCommand,
  type ResolveConflicts,
  UpdateAddonCommand,
} from "@aws-sdk/client-eks";
import Alert from "@cloudscape-design/components/alert";
import ExpandableSection from "@cloudscape-design/components/expandable-section";
import FormField from "@cloudscape-design/components/form-field";
import Select, { type SelectProps } from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Textarea from "@cloudscape-design/components/textarea";
import Tiles from "@cloudscape-design/components/tiles";
import { useState } from "react";
import { useAct } from "../parts/act";
import { Dialog } from "../parts/dialog";
import { useFlash } from "../parts/flash";
import { useLoad } from "../parts/load";
import { NotLoaded } from "../parts/notloaded";
import { useSession } from "../session";
import { problemOf, Schema, type Shape } from "./schema";

interface FormProps {
  cluster: string;
  /** The one that is changed; without it one is got. */
  edited?: Addon;
  installed: string[];
  onClose: (changed: boolean) => void;
}

const conflicts: SelectProps.Option[] = [
  { value: "NONE", label: "None", description: "A field that somebody else has set in the cluster stops it." },
  { value: "OVERWRITE", label: "Overwrite", description: "Such fields become what the add-on has." },
  { value: "PRESERVE", label: "Preserve", description: "Such fields stay as they are." },
];

const defaultVersion = (of: AddonInfo | undefined) =>
  (of?.addonVersions?.find((v) => v.compatibilities?.some((c) => c.defaultVersion)) ?? of?.addonVersions?.[0])?.addonVersion;

export function AddonForm({ cluster, edited, installed, onClose }: FormProps) {
  const session = useSession();
  const flash = useFlash();
  const offered = useLoad(async () => (await session.eks.send(new DescribeAddonVersionsCommand({}))).addons ?? [], []);
  const left = (offered.data ?? []).filter((a) => edited || !installed.includes(a.addonName!));
  const [picked, setPicked] = useState(edited?.addonName);
  const name = picked ?? (left.length === 1 ? left[0]!.addonName : undefined);
  const kind = offered.data?.find((a) => a.addonName === name);
  const [version, setVersion] = useState(edited?.addonVersion);
  const wanted = version ?? defaultVersion(kind);
  const [values, setValues] = useState(edited?.configurationValues ?? "");
  const [conflict, setConflict] = useState(conflicts[0]!);
  const { busy, error, act } = useAct();
  const schema = useLoad(async () => {
    if (!name || !wanted) return undefined;
    const answer = await session.eks.send(new DescribeAddonConfigurationCommand({ addonName: name, addonVersion: wanted }));
    return JSON.parse(answer.configurationSchema!) as Shape;
  }, [name, wanted]);
  const problem = problemOf(values, schema.data);

  const save = () =>
    act("The add-on was not saved", async () => {
      const request = { clusterName: cluster, addonName: name, addonVersion: wanted, resolveConflicts: conflict.value as ResolveConflicts, configurationValues: values.trim() };
      await session.eks.send(edited ? new UpdateAddonCommand(request) : new CreateAddonCommand({ ...request, configurationValues: values.trim() || undefined }));
      flash.success(edited ? `${name} is being updated.` : `${name} is being created; the connector installs it.`);
      onClose(true);
    });

  return (
    <Dialog
      size="large"
      header={edited ? `Edit ${edited.addonName}` : "Get more add-ons"}
      verb={edited ? "Save" : "Create"}
      doing="Saving"
      busy={busy}
      lacks={problem ?? (name && wanted ? undefined : "Choose an add-on.")}
      onDo={save}
      onCancel={() => onClose(false)}
    >
      <SpaceBetween size="m">
        {error}
        {offered.error && <NotLoaded what="The add-ons" why={offered.error} onRetry={offered.reload} />}
        {!edited && offered.data && left.length === 0 && <Alert type="info">This cluster has every add-on that there is.</Alert>}
        {!edited && left.length > 0 && (
          <FormField label="Add-on">
            <Tiles
              ariaLabel="Add-on"
              value={name ?? null}
              onChange={({ detail }) => {
                setPicked(detail.value);
                setVersion(undefined);
              }}
              items={left.map((a) => ({ value: a.addonName!, label: a.addonName, description: about(a) }))}
            />
          </FormField>
        )}
        {kind && (
          <SpaceBetween size="m">
            <FormField label="Version">
              <Select
                selectedOption={wanted ? { value: wanted, label: wanted } : null}
                onChange={({ detail }) => setVersion(detail.selectedOption.value)}
                options={kind.addonVersions?.map((v) => ({
                  value: v.addonVersion, label: v.addonVersion,
                  description: v.addonVersion === defaultVersion(kind) ? "Default" : undefined,
                }))}
                ariaLabel="Version"
              />
            </FormField>
            <FormField label="Configuration values" description="JSON by the schema below; empty: as the add-on comes." errorText={problem}>
              <Textarea value={values} onChange={({ detail }) => setValues(detail.value)} rows={6} spellcheck={false} placeholder="{}" ariaLabel="Configuration values" />
            </FormField>
            <ExpandableSection headerText="What may be configured">{schema.data ? <Schema of={schema.data} /> : (schema.error ?? "Loading")}</ExpandableSection>
            <FormField label="Conflicts">
              <Select selectedOption={conflict} onChange={({ detail }) => setConflict(detail.selectedOption)} options={conflicts} ariaLabel="Conflicts" />
            </FormField>
          </SpaceBetween>
        )}
      </SpaceBetween>
    </Dialog>
  );
}

const about = (a: AddonInfo) => `By ${a.publisher}, of type ${a.type}, in namespace ${a.defaultNamespace}`;
