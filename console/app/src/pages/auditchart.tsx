import BarChart from "@cloudscape-design/components/bar-chart";
import { colorChartsStatusHigh, colorChartsStatusPositive } from "@cloudscape-design/design-tokens";
import type { Entry } from "./auditrecord";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const steps = [1, 2, 5, 10, 15, 30].map((n) => n * minute).concat([1, 2, 3, 6, 12].map((n) => n * hour), [1, 2, 7, 30].map((n) => n * day));

/** How many bars there are at most: on a telephone each still has a few pixels. */
const most = 30;

/** When things were decided, and how: a bar for each part of the time, those that were refused on those that were allowed. */
export function Timeline({ entries, from, to, loading }: { entries: readonly Entry[]; from: Date; to: Date; loading: boolean }) {
  const bars = barsOf(entries, from, to);
  const series = (outcome: Entry["outcome"], title: string, color: string) => ({
    type: "bar" as const,
    title,
    color,
    data: bars.map((bar) => ({ x: bar.at, y: bar[outcome] })),
  });
  const isLong = to.getTime() - from.getTime() > 2 * day;
  return (
    <BarChart
      series={[series("allowed", "Allowed", colorChartsStatusPositive), series("refused", "Refused", colorChartsStatusHigh)]}
      xDomain={bars.map((bar) => bar.at)}
      stackedBars
      height={160}
      hideFilter
      xTitle="Time"
      yTitle="Records"
      ariaLabel="Records over time, by outcome"
      statusType={loading && entries.length === 0 ? "loading" : "finished"}
      loadingText="Loading the records"
      i18nStrings={{
        xTickFormatter: (at) => (isLong ? at.toLocaleDateString("en", { month: "short", day: "numeric" }) : clock(at)),
        yTickFormatter: (n) => (Number.isInteger(n) ? n.toLocaleString("en") : ""),
      }}
      detailPopoverFooter={(at) => moment(at)}
      empty="Nothing was recorded in this time."
    />
  );
}

/** A moment, by the reader's clock. */
export const moment = (at: Date) => at.toLocaleString("en", { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });

const clock = (at: Date) => at.toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

interface Bar {
  at: Date;
  allowed: number;
  refused: number;
}

/** Counts what falls into each part of the time. The parts begin at round hours and minutes of the reader's clock. */
export function barsOf(entries: readonly Entry[], from: Date, to: Date): Bar[] {
  const span = to.getTime() - from.getTime();
  const step = steps.find((s) => span / s <= most - 1) ?? steps.at(-1)! * Math.ceil(span / steps.at(-1)! / most);
  const shift = from.getTimezoneOffset() * minute;
  const begin = Math.floor((from.getTime() - shift) / step) * step + shift;
  const bars: Bar[] = [];
  for (let at = begin; at <= to.getTime(); at += step) bars.push({ at: new Date(at), allowed: 0, refused: 0 });
  for (const entry of entries) {
    const bar = bars[Math.floor((entry.time.getTime() - begin) / step)];
    if (bar) bar[entry.outcome]++;
  }
  return bars;
}
