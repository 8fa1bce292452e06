import { applyMode, Mode } from "@cloudscape-design/global-styles";
import TopNavigation from "@cloudscape-design/components/top-navigation";
import { useCallback, useEffect, useState } from "react";
import { App } from "./app";
import type { Link } from "./link";
import logo from "./lanyard.svg";
import { type Session, SessionProvider } from "./session";
import { SignIn } from "./signin";

const systemIsDark = window.matchMedia("(prefers-color-scheme: dark)");

/** Light or dark: as the system has it, until the button says otherwise. */
function useMode(): [dark: boolean, toggle: () => void] {
  const [dark, setDark] = useState(systemIsDark.matches);
  useEffect(() => {
    const follow = () => setDark(systemIsDark.matches);
    systemIsDark.addEventListener("change", follow);
    return () => systemIsDark.removeEventListener("change", follow);
  }, []);
  useEffect(() => applyMode(dark ? Mode.Dark : Mode.Light), [dark]);
  return [dark, () => setDark((d) => !d)];
}

export function Root({ link }: { link: Link | null }) {
  const [dark, toggle] = useMode();
  const [session, setSession] = useState<Session | null>(null);
  const [why, setWhy] = useState<string>();
  const end = useCallback((because?: string) => {
    setWhy(because);
    setSession(null);
  }, []);
  useEnd(session);
  return (
    <>
      <div className="top" id="top">
        <TopNavigation
          identity={{ href: "#/", title: "Lanyard", logo: { src: logo, alt: "Badge" } }}
          utilities={[
            { type: "button", iconSvg: halves, ariaLabel: dark ? "Light colours" : "Dark colours", onClick: toggle, disableUtilityCollapse: true },
            ...(session ? [who(session)] : []),
          ]}
        />
      </div>
      {session ? (
        <SessionProvider value={session}>
          <App />
        </SessionProvider>
      ) : (
        <SignIn link={why === undefined ? link : null} why={why} onSession={setSession} end={end} />
      )}
    </>
  );
}

const halves = (
  <svg viewBox="0 0 16 16" focusable="false" aria-hidden="true">
    <circle cx="8" cy="8" r="6" />
    <path d="M8 2a6 6 0 0 1 0 12z" className="filled" />
  </svg>
);

const who = (session: Session) =>
  ({
    type: "menu-dropdown",
    iconName: "user-profile",
    text: session.arn.split("/").pop(),
    ariaLabel: `Signed in as ${session.arn}`,
    description: session.arn,
    items: [
      { id: "account", text: `Account ${session.account}`, disabled: true },
      ...(session.expires ? [{ id: "expires", text: `Until ${session.expires.toLocaleTimeString()}`, disabled: true }] : []),
      { id: "out", text: "Sign out" },
    ],
    onItemClick: ({ detail }: { detail: { id: string } }) => detail.id === "out" && session.end(""),
  }) as const;

/** Ends a session whose time is over, instead of letting the next click fail. */
function useEnd(session: Session | null) {
  useEffect(() => {
    if (!session?.expires) return;
    const left = session.expires.getTime() - Date.now();
    const timer = setTimeout(() => session.end("Your session has ended. Sign in again to go on."), Math.max(0, left));
    return () => clearTimeout(timer);
  }, [session]);
}
