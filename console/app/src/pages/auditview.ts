// What somebody looks at on the audit page. It is kept while they look at one of its records, and with the session.

import type { DateRangePickerProps } from "@cloudscape-design/components/date-range-picker";
import type { PropertyFilterProps } from "@cloudscape-design/components/property-filter";
import type { Session } from "../session";
import type { Asked, History } from "./auditrecord";

export interface View {
  range: DateRangePickerProps.Value;
  query: PropertyFilterProps.Query;
  /** Which question the history answers. */
  asked: string;
  history: History;
  /** How many records are to be read. */
  wanted: number;
  /** The time that it covers. */
  from: Date;
  to: Date;
}

/** How many records are read at once: ten pages of the API. */
export const atOnce = 500;

const views = new WeakMap<Session, View>();

export function viewOf(session: Session): View {
  const kept = views.get(session);
  if (kept) return kept;
  const view: View = {
    range: { key: "hours", type: "relative", amount: 3, unit: "hour" },
    query: { tokens: [], operation: "and" },
    asked: "",
    history: { entries: [], whole: false },
    wanted: atOnce,
    from: new Date(0),
    to: new Date(0),
  };
  views.set(session, view);
  return view;
}

const seconds = { second: 1, minute: 60, hour: 3600, day: 86_400, week: 604_800, month: 2_592_000, year: 31_536_000 };

/** The moments of a range of time; one that ends now is of when it is asked, by the server's clock. */
export function momentsOf(session: Session, range: DateRangePickerProps.Value): { from: Date; to: Date } {
  if (range.type === "absolute") return { from: new Date(range.startDate), to: new Date(range.endDate) };
  const now = Date.now() + session.cloudtrail.config.systemClockOffset;
  return { from: new Date(now - range.amount * seconds[range.unit] * 1000), to: new Date(now) };
}

/** Two records of one decision, which are told together. */
const together = ["AssumeRole", "AssumeRoleForPodIdentity"];

/** What the server can leave out: all but one action, where the query asks for one and every token has to match. */
export function askedOf(query: PropertyFilterProps.Query): Asked {
  const one = query.operation === "and" ? query.tokens.find((t) => t.propertyKey === "action" && t.operator === "=") : undefined;
  return typeof one?.value === "string" && !together.includes(one.value) ? { action: one.value } : {};
}
