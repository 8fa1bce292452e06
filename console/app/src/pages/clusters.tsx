import { ListClustersCommand } from "@aws-sdk/client-eks";
import Link from "@cloudscape-design/components/link";
import { useState } from "react";
import { clusterArn, useAccess } from "../access";
import { Action } from "../parts/action";
import { Listing } from "../parts/listing";
import { useDetails, useLoad } from "../parts/load";
import { State } from "../parts/state";
import { href } from "../router";
import { useSession } from "../session";
import { type ClusterState, clusterState, stepOf, words } from "./health";
import { Register } from "./register";

export default function Clusters() {
  const session = useSession();
  const missing = useAccess([["eks:RegisterCluster", clusterArn(session, "*")]]);
  const loaded = useLoad<string[]>(async (part) => {
    const names: string[] = [];
    let nextToken: string | undefined;
    do {
      const page = await session.eks.send(new ListClustersCommand({ nextToken, include: ["all"] }));
      names.push(...(page.clusters ?? []));
      nextToken = page.nextToken;
      if (nextToken) part([...names]);
    } while (nextToken);
    return names;
  }, []);
  const states = useDetails<string, ClusterState>((name) => name, (name) => clusterState(session, name));
  const [registering, setRegistering] = useState(false);
  const register = (
    <Action key="register" variant="primary" missing={missing("eks:RegisterCluster", clusterArn(session, "*"))} onClick={() => setRegistering(true)}>
      Register a cluster
    </Action>
  );
  const reload = () => {
    states.forget();
    loaded.reload();
  };
  const stepCell = (step: Parameters<typeof stepOf>[1]) => (name: string) => <State step={stepOf(states.of(name), step)} />;
  return (
    <>
      <Listing<string>
        title="Clusters"
        one="cluster"
        level="h1"
        loaded={{ ...loaded, reload }}
        keyOf={(name) => name}
        textOf={(name) => name}
        onShown={states.show}
        columns={[
          { id: "name", header: "Cluster", sort: (name) => name, cell: (name) => <Link href={href("clusters", name)}>{name}</Link> },
          { id: "status", header: "Status", cell: (name) => status(states.of(name)) },
          { id: "connector", header: "Connector", cell: stepCell("Connector") },
          { id: "webhook", header: "Webhook", cell: stepCell("Webhook") },
          { id: "agent", header: "Agent", cell: stepCell("Agent") },
        ]}
        actions={[register]}
        empty={{ text: "No cluster yet. Register one; any Kubernetes from 1.30 on joins by calling this server, and nothing calls it.", next: register }}
      />
      {registering && (
        <Register
          onClose={() => {
            setRegistering(false);
            reload();
          }}
        />
      )}
    </>
  );
}

function status(state: ClusterState | undefined) {
  if (!state) return "-";
  const kind = state.cluster.status === "ACTIVE" ? "success" : "pending";
  return <State step={{ kind, state: words(state.cluster.status) + (state.practice ? ", practice" : "") }} />;
}
