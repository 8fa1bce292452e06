import { type Addon, DeleteAddonCommand } from "@aws-sdk/client-eks";
import Alert from "@cloudscape-design/components/alert";
import { useAct } from "../parts/act";
import { Dialog } from "../parts/dialog";
import { useFlash } from "../parts/flash";
import { useSession } from "../session";

export function DeleteAddon({ cluster, addon, onClose }: { cluster: string; addon: Addon; onClose: (changed: boolean) => void }) {
  const session = useSession();
  const flash = useFlash();
  const { busy, act } = useAct(flash.error);
  const remove = async () => {
    const deleted = await act(`${addon.addonName} was not deleted`, async () => {
      await session.eks.send(new DeleteAddonCommand({ clusterName: cluster, addonName: addon.addonName }));
      flash.success(`${addon.addonName} is being deleted.`);
    });
    onClose(deleted);
  };
  const owned = addon.podIdentityAssociations?.length ?? 0;
  return (
    <Dialog header={`Delete ${addon.addonName}`} verb="Delete" doing="Deleting" busy={busy} onDo={remove} onCancel={() => onClose(false)}>
      <Alert type="warning">
        {addon.addonName === "eks-pod-identity-agent"
          ? "The agent leaves every node. Pods that run keep what they hold until it expires, and no pod of this cluster gets credentials after that."
          : "It is taken out of the cluster."}
        {owned > 0 && ` With it ${owned === 1 ? "the association that it owns goes" : `the ${owned} associations that it owns go`}.`}
      </Alert>
    </Dialog>
  );
}
