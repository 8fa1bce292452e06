import Alert from "@cloudscape-design/components/alert";
import { type ReactNode, useState } from "react";
import { sentence } from "../session";
import type { Flashes } from "./flash";

/**
 * Does what a button is for, and returns whether it went well. A refusal is told under what was attempted: by `tell`, such
 * as a flash, or without it by `error`, which is there until the next try.
 */
export function useAct(tell?: Flashes["error"]) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ReactNode>();
  const act = async (attempted: string, run: () => Promise<unknown>): Promise<boolean> => {
    setBusy(true);
    setError(undefined);
    try {
      await run();
      return true;
    } catch (refused) {
      if (tell) tell(attempted, refused);
      else setError(<Alert type="error" header={attempted}>{sentence(refused)}</Alert>);
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { busy, error, act };
}
