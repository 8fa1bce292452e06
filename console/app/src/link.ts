// `lanyard console` prints a link with credentials behind its #, which browsers send to nobody.

import type { Credentials } from "./session";

export interface Link {
  credentials: Credentials;
  region?: string;
}

const mark = "#credentials=";

/** Reads the credentials of the address, if it has some, and takes them out of it and of the browser's history. */
export function takeLink(): Link | null {
  const { hash, pathname } = window.location;
  if (!hash.startsWith(mark)) return null;
  window.history.replaceState(null, "", pathname);
  try {
    const bytes = Uint8Array.from(atob(hash.slice(mark.length).replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    const told = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, string | undefined>;
    return {
      credentials: {
        accessKeyId: told.accessKeyId ?? "",
        secretAccessKey: told.secretAccessKey ?? "",
        sessionToken: told.sessionToken,
        expiration: told.expiration ? new Date(told.expiration) : undefined,
      },
      region: told.region,
    };
  } catch {
    return null; // a part of a link: the form is shown
  }
}
