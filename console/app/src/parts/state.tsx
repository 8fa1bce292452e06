import StatusIndicator from "@cloudscape-design/components/status-indicator";
import type { Step } from "../pages/health";

export const State = ({ step }: { step?: Pick<Step, "kind" | "state"> }) =>
  step ? <StatusIndicator type={step.kind}>{step.state}</StatusIndicator> : <>-</>;
