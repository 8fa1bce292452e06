import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";

/** Says what could not be loaded, and why. */
export const NotLoaded = ({ what, why, onRetry }: { what: string; why: string; onRetry: () => void }) => (
  <Alert type="error" header={`${what} could not be loaded`} action={<Button onClick={onRetry}>Try again</Button>}>
    {why}
  </Alert>
);
