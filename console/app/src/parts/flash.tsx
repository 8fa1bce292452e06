import Flashbar, { type FlashbarProps } from "@cloudscape-design/components/flashbar";
import { createContext, type ReactNode, useContext, useMemo, useState } from "react";
import { isOver, sentence, useSession } from "../session";

export interface Flashes {
  success: (text: ReactNode) => void;
  /** Shows an error under what was attempted: "The association was not created". */
  error: (attempted: string, error: unknown) => void;
}

const Context = createContext<Flashes | null>(null);

export function useFlash(): Flashes {
  const flashes = useContext(Context);
  if (!flashes) throw new Error("useFlash is for what is inside FlashProvider");
  return flashes;
}

export function useFlashItems() {
  const session = useSession();
  const [items, setItems] = useState<FlashbarProps.MessageDefinition[]>([]);
  const flashes = useMemo<Flashes>(() => {
    let last = 0;
    const add = (item: FlashbarProps.MessageDefinition) => {
      const id = `flash-${++last}`;
      const onDismiss = () => setItems((all) => all.filter((other) => other.id !== id));
      setItems((all) => [{ ...item, id, dismissible: true, dismissLabel: "Dismiss", onDismiss }, ...all].slice(0, 5));
    };
    return {
      success: (content) => add({ type: "success", content }),
      error: (attempted, error) => {
        if (isOver(error)) session.end("Your session has ended. Sign in again to go on.");
        else add({ type: "error", header: attempted, content: sentence(error) });
      },
    };
  }, [session]);
  return { items, flashes };
}

export const FlashProvider = Context.Provider;

export const FlashBar = ({ items }: { items: FlashbarProps.MessageDefinition[] }) => <Flashbar items={items} stackItems={items.length > 2} />;
