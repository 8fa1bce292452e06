import { LookupEventsCommand } from "@aws-sdk/client-cloudtrail";
import { DeletePodIdentityAssociationCommand, type PodIdentityAssociationSummary } from "@aws-sdk/client-eks";
import Alert from "@cloudscape-design/components/alert";
import Box from "@cloudscape-design/components/box";
import ProgressBar from "@cloudscape-design/components/progress-bar";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Spinner from "@cloudscape-design/components/spinner";
import { useState } from "react";
import { Dialog } from "../parts/dialog";
import { useFlash } from "../parts/flash";
import { each, type Loaded, useLoad } from "../parts/load";
import { type Session, useSession } from "../session";
import { named } from "./associations";

interface DeleteProps {
  cluster: string;
  associations: PodIdentityAssociationSummary[];
  roleOf: (a: PodIdentityAssociationSummary) => string | undefined;
  onClose: (changed: boolean) => void;
}

/** Asks before associations are deleted, and shows whom it cuts off. */
export function DeleteAssociations({ cluster, associations, roleOf, onClose }: DeleteProps) {
  const session = useSession();
  const flash = useFlash();
  const [done, setDone] = useState<number>();
  const pods = useLoad(() => served(session, cluster, associations), []);
  const remove = async () => {
    const failed: [string, unknown][] = [];
    let n = 0;
    setDone(0);
    await each(associations, 4, async (a) => {
      try {
        await session.eks.send(new DeletePodIdentityAssociationCommand({ clusterName: cluster, associationId: a.associationId }));
      } catch (refused) {
        failed.push([named(a), refused]);
      }
      setDone(++n);
    });
    for (const [name, refused] of failed.slice(0, 3)) flash.error(`The association of ${name} was not deleted`, refused);
    const gone = associations.length - failed.length;
    if (gone > 0) flash.success(gone === 1 && associations.length === 1 ? `The association of ${named(associations[0]!)} is deleted.` : `${gone} associations are deleted.`);
    onClose(true);
  };
  const many = associations.length > 1;
  return (
    <Dialog
      size="medium"
      header={many ? `Delete ${associations.length} associations` : "Delete the association"}
      verb="Delete"
      doing="Deleting"
      busy={done !== undefined}
      held={done !== undefined}
      onDo={remove}
      onCancel={() => onClose(false)}
    >
      <SpaceBetween size="m">
        <Alert type="warning">
          What pods of {many ? "these service accounts" : <b>{named(associations[0]!)}</b>} hold is refused within a second, and they get nothing new. Creating
          the same association again heals them; to end a stolen session for good, use <Box variant="code">lanyard revoke</Box>.
        </Alert>
        <div>
          <Box variant="awsui-key-label">No longer</Box>
          <ul aria-label="Associations that go">
            {associations.slice(0, 10).map((a) => (
              <li key={a.associationId}>
                {named(a)}
                {roleOf(a) && ` as ${roleOf(a)}`}
              </li>
            ))}
            {associations.length > 10 && <li>and {associations.length - 10} more</li>}
          </ul>
        </div>
        <CutOff pods={pods} />
        {done !== undefined && many && <ProgressBar value={(100 * done) / associations.length} label="Deleting" />}
      </SpaceBetween>
    </Dialog>
  );
}

interface Pod {
  name: string;
  node?: string;
  at: Date;
}

interface Served {
  pods: Pod[];
  /** There are older records that were not read. */
  more: boolean;
}

function CutOff({ pods }: { pods: Loaded<Served> }) {
  if (pods.error) return <Box color="text-body-secondary">Which pods had credentials is not shown: {pods.error}</Box>;
  if (!pods.data) {
    return (
      <Box>
        <Spinner /> Reading the audit for the pods that are cut off
      </Box>
    );
  }
  const { pods: found, more } = pods.data;
  return (
    <div>
      <Box variant="awsui-key-label">Cut off: pods that got credentials by {found.length === 1 ? "it" : "them"} in the last six hours</Box>
      {found.length === 0 ? (
        <Box>None{more && " of those in the newest records"}.</Box>
      ) : (
        <ul aria-label="Pods that are cut off">
          {found.slice(0, 10).map((pod) => (
            <li key={pod.name}>
              {pod.name}
              {pod.node && ` on ${pod.node}`}, {pod.at.toLocaleTimeString()}
            </li>
          ))}
          {found.length > 10 && <li>and {found.length - 10} more</li>}
        </ul>
      )}
    </div>
  );
}

const longest = 6 * 3600_000; // a pod's session
const pagesRead = 10;

/** The pods that hold sessions by associations, as far as the newest records of the audit say. */
async function served(session: Session, cluster: string, associations: PodIdentityAssociationSummary[]): Promise<Served> {
  const wanted = new Set(associations.map(named));
  const found = new Map<string, Pod>();
  let NextToken: string | undefined;
  for (let page = 0; page < pagesRead; page++) {
    const answer = await session.cloudtrail.send(
      new LookupEventsCommand({
        LookupAttributes: [{ AttributeKey: "EventName", AttributeValue: "AssumeRoleForPodIdentity" }],
        StartTime: new Date(Date.now() - longest),
        NextToken,
      }),
    );
    for (const { CloudTrailEvent: text, EventTime: at } of answer.Events ?? []) {
      const record = JSON.parse(text!) as Granted;
      const pod = record.additionalEventData?.pod;
      if (record.errorCode || !pod || record.requestParameters?.clusterName !== cluster) continue;
      const name = `${pod.namespace}/${pod.name}`;
      if (wanted.has(`${pod.namespace}/${pod.serviceAccount}`) && !found.has(name)) found.set(name, { name, node: pod.node, at: at! });
    }
    NextToken = answer.NextToken;
    if (!NextToken) break;
  }
  return { pods: [...found.values()], more: !!NextToken };
}

/** What is read of a record. */
interface Granted {
  errorCode?: string;
  requestParameters?: { clusterName?: string };
  additionalEventData?: { pod?: { namespace: string; name: string; serviceAccount: string; node?: string } };
}
