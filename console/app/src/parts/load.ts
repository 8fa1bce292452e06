import { useCallback, useEffect, useRef, useState } from "react";
import { isOver, sentence, useSession } from "../session";

export interface Loaded<T> {
  data?: T;
  /** What went wrong, to people. */
  error?: string;
  loading: boolean;
  reload: () => void;
}

/**
 * Loads what a page shows, again when one of the keys changes, and every few seconds where that is asked. What was loaded
 * before stays until the new is there. A load that takes long may show a part of it.
 */
export function useLoad<T>(load: (part: (data: T) => void) => Promise<T>, keys: unknown[], everySeconds?: number): Loaded<T> {
  const session = useSession();
  const [state, setState] = useState<{ data?: T; error?: string; loading: boolean }>({ loading: true });
  const [round, setRound] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  useEffect(() => {
    let gone = false;
    setState((s) => ({ ...s, loading: true }));
    latest
      .current((data) => !gone && setState({ data, loading: true }))
      .then((data) => !gone && setState({ data, loading: false }))
      .catch((error: unknown) => {
        if (gone) return;
        if (isOver(error)) session.end("Your session has ended. Sign in again to go on.");
        setState((s) => ({ data: s.data, error: sentence(error), loading: false }));
      });
    return () => {
      gone = true;
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [...keys, session, round]);
  const reload = useCallback(() => setRound((n) => n + 1), []);
  useEffect(() => {
    if (!everySeconds) return;
    const again = setInterval(() => document.visibilityState === "visible" && reload(), everySeconds * 1000);
    return () => clearInterval(again);
  }, [everySeconds, reload]);
  return { ...state, reload };
}

/** Runs something for each of many, a few at the same time. */
export async function each<T>(items: readonly T[], atOnce: number, run: (item: T) => Promise<void>) {
  const left = [...items];
  await Promise.all(
    Array.from({ length: Math.min(atOnce, left.length) }, async () => {
      for (let item = left.shift(); item !== undefined; item = left.shift()) await run(item);
    }),
  );
}

/** What is known of the items that are on the screen, by their key: a list tells less of each than the item itself does. */
export function useDetails<T, D>(keyOf: (item: T) => string, load: (item: T) => Promise<D>) {
  const [known, setKnown] = useState<ReadonlyMap<string, D>>(new Map());
  const asked = useRef(new Set<string>());
  const show = (items: readonly T[]) => {
    const fresh = items.filter((item) => !asked.current.has(keyOf(item)));
    fresh.forEach((item) => asked.current.add(keyOf(item)));
    void each(fresh, 6, async (item) => {
      try {
        const detail = await load(item);
        setKnown((before) => new Map(before).set(keyOf(item), detail));
      } catch {
        asked.current.delete(keyOf(item)); // its cell stays empty until it is shown again
      }
    });
  };
  const forget = () => {
    asked.current.clear();
    setKnown(new Map());
  };
  return { of: (item: T) => known.get(keyOf(item)), show, forget };
}
