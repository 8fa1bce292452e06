// Where the page is stands behind the # of its address: the server has one page and is never asked for another.

import { useSyncExternalStore } from "react";

/** The parts of the place, such as ["clusters", "dev", "access"]. */
export function useRoute(): string[] {
  const hash = useSyncExternalStore(subscribe, () => window.location.hash);
  return hash.replace(/^#\/?/, "").split("?")[0]!.split("/").filter(Boolean).map(decode);
}

function subscribe(changed: () => void) {
  window.addEventListener("hashchange", changed);
  return () => window.removeEventListener("hashchange", changed);
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // an address that somebody typed
  }
}

/** The address of a place, for links. */
export const href = (...parts: string[]) => "#/" + parts.map(encodeURIComponent).join("/");

export function go(...parts: string[]) {
  window.location.hash = href(...parts);
}

export type Params = Record<string, string>;

/** What a pattern such as "clusters/:name/:tab?" says of a place, or null where it is another. */
export function match(pattern: string, place: string[]): Params | null {
  const params: Params = {};
  const wanted = pattern.split("/");
  for (const [i, part] of wanted.entries()) {
    const got = place[i];
    if (part.startsWith(":")) {
      if (got !== undefined) params[part.replace(/[:?]/g, "")] = got;
      else if (!part.endsWith("?")) return null;
    } else if (got !== part) {
      return null;
    }
  }
  return place.length > wanted.length ? null : params;
}
