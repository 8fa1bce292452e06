import {
  DeleteRolePolicyCommand,
  GetRoleCommand,
  GetRolePolicyCommand,
  ListAttachedRolePoliciesCommand,
  ListRolePoliciesCommand,
  PutRolePolicyCommand,
  type Role,
  UpdateAssumeRolePolicyCommand,
} from "@aws-sdk/client-iam";
import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import Container from "@cloudscape-design/components/container";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Spinner from "@cloudscape-design/components/spinner";
import StatusIndicator from "@cloudscape-design/components/status-indicator";
import Tabs from "@cloudscape-design/components/tabs";
import { useState } from "react";
import { roleArn, useAccess } from "../access";
import { useAct } from "../parts/act";
import { Action } from "../parts/action";
import { useFlash } from "../parts/flash";
import { Empty, Listing } from "../parts/listing";
import { useLoad } from "../parts/load";
import { NotLoaded } from "../parts/notloaded";
import { PolicyEditor, pretty } from "../parts/policyeditor";
import { useSession } from "../session";
import type { PageProps } from ".";
import { PolicyView, toSee } from "./policyview";
import { depends, nameOf, type Principal, told, type Who, whoCan } from "./reach";
import { Boundary } from "./roleboundary";
import { Attached } from "./rolepolicies";

interface Everything {
  role: Role;
  inline: { name: string; document: string }[];
  /** The ARNs of its managed policies. */
  attached: string[];
}

/** One role: who may become it, and what it may do. */
export default function RolePage({ params }: PageProps) {
  const name = params.name!;
  const session = useSession();
  const [shown, setShown] = useState<string>();
  const loaded = useLoad<Everything>(async () => {
    const [role, inline, attached] = await Promise.all([
      session.iam.send(new GetRoleCommand({ RoleName: name })),
      session.iam.send(new ListRolePoliciesCommand({ RoleName: name, MaxItems: 1000 })),
      session.iam.send(new ListAttachedRolePoliciesCommand({ RoleName: name })),
    ]);
    const documents = await Promise.all((inline.PolicyNames ?? []).map((PolicyName) => session.iam.send(new GetRolePolicyCommand({ RoleName: name, PolicyName }))));
    return {
      role: role.Role!,
      inline: documents.map((d) => ({ name: d.PolicyName!, document: pretty(decodeURIComponent(d.PolicyDocument!)) })),
      attached: (attached.AttachedPolicies ?? []).map((p) => p.PolicyArn!),
    };
  }, [name]);
  const arn = loaded.data?.role.Arn ?? roleArn(session, name);
  const boundary = loaded.data?.role.PermissionsBoundary?.PermissionsBoundaryArn;
  const missing = useAccess([
    ["iam:UpdateAssumeRolePolicy", arn],
    ["iam:PutRolePolicy", arn],
    ["iam:DeleteRolePolicy", arn],
    ["iam:AttachRolePolicy", arn],
    ["iam:DetachRolePolicy", arn],
    ["iam:PutRolePermissionsBoundary", arn],
    ["iam:DeleteRolePermissionsBoundary", arn],
    ...[...(loaded.data?.attached ?? []), ...(boundary ? [boundary] : [])].flatMap(toSee),
  ]);
  if (!loaded.data) {
    return loaded.error ? (
      <NotLoaded what={`The role ${name}`} why={loaded.error} onRetry={loaded.reload} />
    ) : (
      <Box textAlign="center" padding="xxl">
        <Spinner size="large" />
      </Box>
    );
  }
  const { role, inline, attached } = loaded.data;
  return (
    <SpaceBetween size="l">
      <Header variant="h1" description={<span className="long">{role.Arn}</span>}>
        {name}
      </Header>
      {role.Description && <Box>{role.Description}</Box>}
      <Tabs
        ariaLabel={`About the role ${name}`}
        tabs={[
          {
            id: "permissions",
            label: "Permissions",
            content: (
              <SpaceBetween size="xl">
                <Inlines
                  role={name}
                  inline={inline}
                  alone={attached.length === 0}
                  put={missing("iam:PutRolePolicy", arn)}
                  remove={missing("iam:DeleteRolePolicy", arn)}
                  onChanged={loaded.reload}
                />
                <Attached role={name} arn={arn} attached={{ ...loaded, data: attached }} missing={missing} onShow={setShown} />
                <Boundary role={name} arn={arn} boundary={boundary} missing={missing} onShow={setShown} onChanged={loaded.reload} />
                {shown && <PolicyView arn={shown} onClose={() => setShown(undefined)} />}
              </SpaceBetween>
            ),
          },
          {
            id: "trust",
            label: "Trust policy",
            content: <Trust role={role} missing={missing("iam:UpdateAssumeRolePolicy", arn)} onChanged={loaded.reload} />,
          },
          { id: "who", label: "Who can become it", content: <Becoming arn={role.Arn!} trust={role.AssumeRolePolicyDocument ?? ""} /> },
        ]}
      />
    </SpaceBetween>
  );
}

interface InlinesProps {
  role: string;
  inline: Everything["inline"];
  /** It has no managed policy. */
  alone: boolean;
  put?: string;
  remove?: string;
  onChanged: () => void;
}

/** The policies that are the role's own. */
function Inlines({ role, inline, alone, put, remove, onChanged }: InlinesProps) {
  const [adding, setAdding] = useState(false);
  const add = (
    <Action missing={put} onClick={() => setAdding(true)}>
      Add an inline policy
    </Action>
  );
  return (
    <SpaceBetween size="l">
      <Header variant="h2" actions={add}>
        Inline policies
      </Header>
      {adding && (
        <Inline
          role={role}
          document={starter}
          put={put}
          onClose={(changed) => {
            setAdding(false);
            if (changed) onChanged();
          }}
        />
      )}
      {inline.map((p) => (
        <Inline key={`${p.name} ${p.document}`} role={role} name={p.name} document={p.document} put={put} remove={remove} onClose={(changed) => changed && onChanged()} />
      ))}
      {!adding && inline.length === 0 && !alone && <Empty text="The role has none of its own." />}
      {!adding && inline.length === 0 && alone && <Empty text="The role may do nothing yet. Add a policy that says what it may do, or attach one." next={add} />}
    </SpaceBetween>
  );
}

const starter = pretty(
  JSON.stringify({ Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: ["s3:GetObject"], Resource: "arn:aws:s3:::BUCKET/${aws:PrincipalTag/kubernetes-namespace}/*" }] }),
);

interface InlineProps {
  role: string;
  /** Without it a new one is added. */
  name?: string;
  document: string;
  put?: string;
  remove?: string;
  onClose: (changed: boolean) => void;
}

function Inline({ role, name, document, put, remove, onClose }: InlineProps) {
  const session = useSession();
  const flash = useFlash();
  const [called, setCalled] = useState(name ?? "");
  const [text, setText] = useState(document);
  const [good, setGood] = useState(true);
  const { busy, act } = useAct(flash.error);
  const run = (attempted: string, done: string, send: () => Promise<unknown>) =>
    act(attempted, async () => {
      await send();
      flash.success(done);
      onClose(true);
    });
  const save = () =>
    run(`The policy ${called} was not saved`, `The policy ${called} is saved, and in force for running pods too.`, () =>
      session.iam.send(new PutRolePolicyCommand({ RoleName: role, PolicyName: called, PolicyDocument: text })),
    );
  const drop = () =>
    run(`The policy ${called} was not deleted`, `The policy ${called} is deleted.`, () => session.iam.send(new DeleteRolePolicyCommand({ RoleName: role, PolicyName: called })));
  const why = called === "" ? "A name is needed." : !good ? "The policy has errors." : "Nothing is changed.";
  return (
    <Container
      header={
        <Header
          variant="h3"
          actions={
            <SpaceBetween direction="horizontal" size="xs">
              {name ? (
                <Action missing={remove} disabled={busy} onClick={drop} ariaLabel={`Delete the policy ${name}`}>
                  Delete
                </Action>
              ) : (
                <Button onClick={() => onClose(false)}>Cancel</Button>
              )}
              <Action
                variant="primary"
                missing={put}
                disabled={called === "" || !good || (name !== undefined && text === document)}
                disabledReason={why}
                loading={busy}
                loadingText="Saving"
                ariaLabel={`Save the policy ${called}`}
                onClick={save}
              >
                Save
              </Action>
            </SpaceBetween>
          }
        >
          {name ?? "A new inline policy"}
        </Header>
      }
    >
      <SpaceBetween size="m">
        {name === undefined && (
          <FormField label="Policy name">
            <Input value={called} onChange={({ detail }) => setCalled(detail.value)} placeholder="read" />
          </FormField>
        )}
        <PolicyEditor label={name ? `Policy ${name}` : "Policy document"} kind="identity" value={text} onChange={setText} onJudged={setGood} />
      </SpaceBetween>
    </Container>
  );
}

function Trust({ role, missing, onChanged }: { role: Role; missing?: string; onChanged: () => void }) {
  const session = useSession();
  const flash = useFlash();
  const stored = pretty(decodeURIComponent(role.AssumeRolePolicyDocument ?? ""));
  const [text, setText] = useState(stored);
  const [good, setGood] = useState(true);
  const { busy, act } = useAct(flash.error);
  const save = () =>
    act("The trust policy was not saved", async () => {
      await session.iam.send(new UpdateAssumeRolePolicyCommand({ RoleName: role.RoleName, PolicyDocument: text }));
      flash.success("The trust policy is saved. Who got a session before keeps it until it ends.");
      onChanged();
    });
  return (
    <SpaceBetween size="m">
      <PolicyEditor label="Trust policy" description="Who may become the role." kind="trust" value={text} onChange={setText} onJudged={setGood} />
      <Action
        variant="primary"
        missing={missing}
        disabled={!good || text === stored}
        disabledReason={good ? "Nothing is changed." : "The trust policy has errors."}
        loading={busy}
        loadingText="Saving"
        onClick={save}
      >
        Save the trust policy
      </Action>
    </SpaceBetween>
  );
}

/** Who of the account can become the role, asked of the server, which decides as if each had tried. */
function Becoming({ arn, trust }: { arn: string; trust: string }) {
  const session = useSession();
  const loaded = useLoad<Who>(() => whoCan(session, "sts:AssumeRole", arn), [arn, trust]);
  return (
    <SpaceBetween size="m">
      <Listing<Principal>
        title="Who can become it"
        one="principal"
        description="Users, roles and service accounts of this account, by the policies of now."
        loaded={{ ...loaded, data: loaded.data?.principals }}
        keyOf={(p) => p.associationId ?? p.arn}
        labelOf={aloud}
        textOf={aloud}
        columns={[
          { id: "who", header: "Who", width: 240, sort: aloud, cell: aloud },
          {
            id: "decision",
            header: "Whether",
            sort: (p) => p.decision,
            cell: (p) => <StatusIndicator type={p.decision === "allowed" ? "success" : "info"}>{p.decision === "allowed" ? "Can" : "Depends"}</StatusIndicator>,
          },
          {
            id: "why",
            header: "By",
            width: 260,
            cell: (p) => (
              <SpaceBetween size="xxxs">
                <Box>{p.statement ? told(p.statement) : "-"}</Box>
                {depends(p.dependsOn).map((line) => (
                  <Box key={line} variant="small">
                    {line}
                  </Box>
                ))}
              </SpaceBetween>
            ),
          },
        ]}
        empty={{ text: "Nobody of this account can become it. Pods can when its trust policy names pods.eks.amazonaws.com and a service account is associated with it." }}
      />
      {loaded.data && loaded.data.trusted.length > 0 && (
        <Box>
          Its trust policy names <span className="long">{loaded.data.trusted.join(", ")}</span>.
        </Box>
      )}
    </SpaceBetween>
  );
}

const kinds = { user: "User", role: "Role", serviceAccount: "Service account" };

const aloud = (p: Principal) =>
  p.type === "serviceAccount" ? `Service account ${p.namespace}/${p.serviceAccount} of cluster ${p.clusterName}` : `${kinds[p.type]} ${nameOf(p.arn)}`;
