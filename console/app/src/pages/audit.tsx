import { useCollection } from "@cloudscape-design/collection-hooks";
import Alert from "@cloudscape-design/components/alert";
import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import Container from "@cloudscape-design/components/container";
import DateRangePicker, { type DateRangePickerProps } from "@cloudscape-design/components/date-range-picker";
import Header from "@cloudscape-design/components/header";
import Link from "@cloudscape-design/components/link";
import Pagination from "@cloudscape-design/components/pagination";
import PropertyFilter, { type PropertyFilterProps } from "@cloudscape-design/components/property-filter";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Table, { type TableProps } from "@cloudscape-design/components/table";
import { useState } from "react";
import { useAccess } from "../access";
import { Empty } from "../parts/listing";
import { useLoad } from "../parts/load";
import { NotLoaded } from "../parts/notloaded";
import { href } from "../router";
import { useSession } from "../session";
import { moment, Timeline } from "./auditchart";
import { Outcome } from "./auditevent";
import { type Entry, type History, readOn } from "./auditrecord";
import { askedOf, atOnce, momentsOf, type View, viewOf } from "./auditview";

/** Who called what, which pod stood behind it, and how it ended. */
export default function Audit() {
  const { view, change, loaded, reload } = useHistory();
  const missing = useAccess([["cloudtrail:LookupEvents"]])("cloudtrail:LookupEvents");
  const history = loaded.data ?? view.history;
  const clear = () => {
    actions.setPropertyFiltering(everything);
    change({ query: everything });
  };
  const { items, allPageItems, filteredItemsCount, collectionProps, propertyFilterProps, paginationProps, actions } = useCollection(history.entries, {
    propertyFiltering: {
      filteringProperties: properties,
      defaultQuery: view.query,
      empty: view.query.tokens.length > 0 ? <NoMatch onClear={clear} /> : <Nothing range={view.range} onLonger={() => change({ range: week })} />,
      noMatch: <NoMatch onClear={clear} />,
    },
    pagination: { pageSize: 25 },
    sorting: {},
  });
  if (missing) {
    return (
      <SpaceBetween size="l">
        <Header variant="h1">Audit</Header>
        <Alert type="info" header="The audit is not shown to everybody">
          {missing}
        </Alert>
      </SpaceBetween>
    );
  }
  const filter = (query: PropertyFilterProps.Query) => {
    actions.setPropertyFiltering(query);
    change({ query });
  };
  const found = allPageItems ?? items;
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        description="Every call that was decided, newest first. What was done with objects in S3 stands in the log alone: lanyard audit query."
        actions={<Button iconName="refresh" ariaLabel="Refresh the records" loading={loaded.loading} loadingText="Loading" onClick={reload} />}
      >
        Audit
      </Header>
      {loaded.error && <NotLoaded what="The records" why={loaded.error} onRetry={reload} />}
      <DateRangePicker
        value={view.range}
        onChange={({ detail }) => detail.value && change({ range: detail.value })}
        relativeOptions={ranges}
        isValidRange={isValid}
        ariaLabel="Time"
        placeholder="Choose a time"
        expandToViewport
      />
      <Container>
        <Timeline entries={found} from={view.from} to={view.to} loading={loaded.loading} />
      </Container>
      <Table<Entry>
        {...collectionProps}
        items={items}
        columnDefinitions={columns}
        trackBy="id"
        loading={loaded.loading && history.entries.length === 0}
        loadingText="Loading the records"
        wrapLines
        enableKeyboardNavigation
        empty={loaded.error ? <Empty text="Nothing could be loaded." /> : collectionProps.empty}
        ariaLabels={{ tableLabel: "Records" }}
        header={
          <Header variant="h2" counter={counter(history, loaded.loading)}>
            Records
          </Header>
        }
        filter={
          <PropertyFilter
            {...propertyFilterProps}
            onChange={({ detail }) => filter(detail)}
            filteringPlaceholder="Filter by pod, role, action, outcome"
            filteringAriaLabel="Filter the records"
            countText={`${(filteredItemsCount ?? 0).toLocaleString("en")} ${filteredItemsCount === 1 ? "match" : "matches"}`}
            expandToViewport
          />
        }
        pagination={
          <Pagination
            {...paginationProps}
            ariaLabels={{ nextPageLabel: "Next page", previousPageLabel: "Previous page", pageLabel: (n) => `Page ${n}`, paginationLabel: "Pages of records" }}
          />
        }
        footer={!history.whole && <Older history={history} loading={loaded.loading} onMore={() => change({ wanted: history.entries.length + atOnce })} />}
      />
    </SpaceBetween>
  );
}

/** The records of a time, read as far as was wanted. */
function useHistory() {
  const session = useSession();
  const view = viewOf(session);
  const [, changed] = useState(0);
  const asked = askedOf(view.query);
  const question = JSON.stringify([view.range, asked]);
  const loaded = useLoad<History>(
    async (part) => {
      if (view.asked !== question) {
        Object.assign(view, momentsOf(session, view.range), { asked: question, history: { entries: [], whole: false }, wanted: atOnce });
      }
      const history = await readOn(session, { from: view.from, to: view.to, ...asked }, view.history, view.wanted, part);
      if (view.asked === question) view.history = history;
      return history;
    },
    [question, view.wanted],
  );
  const change = (next: Partial<Pick<View, "range" | "query" | "wanted">>) => {
    Object.assign(view, next);
    changed((n) => n + 1);
  };
  const reload = () => {
    view.asked = ""; // a time that ends now ends later now
    loaded.reload();
  };
  return { view, change, loaded, reload };
}

const everything: PropertyFilterProps.Query = { tokens: [], operation: "and" };

const week: DateRangePickerProps.RelativeOption = { key: "week", type: "relative", amount: 7, unit: "day" };

const ranges: DateRangePickerProps.RelativeOption[] = [
  { key: "quarter", type: "relative", amount: 15, unit: "minute" },
  { key: "hour", type: "relative", amount: 1, unit: "hour" },
  { key: "hours", type: "relative", amount: 3, unit: "hour" },
  { key: "day", type: "relative", amount: 1, unit: "day" },
  week,
];

const isValid: DateRangePickerProps["isValidRange"] = (range) =>
  range?.type === "absolute" && !(new Date(range.startDate) < new Date(range.endDate))
    ? { valid: false, errorMessage: "The time has to begin before it ends." }
    : { valid: true };

const property = (key: keyof Entry, propertyLabel: string, groupValuesLabel: string) => ({ key, propertyLabel, groupValuesLabel, operators: ["=", "!=", ":", "!:"] as const });

const properties = [
  property("action", "Action", "Actions"),
  property("outcome", "Outcome", "Outcomes"),
  property("code", "Error", "Errors"),
  property("pod", "Pod", "Pods"),
  property("namespace", "Namespace", "Namespaces"),
  property("serviceAccount", "Service account", "Service accounts"),
  property("cluster", "Cluster", "Clusters"),
  property("role", "Role", "Roles"),
  property("who", "Who", "Callers"),
  property("service", "Service", "Services"),
  property("source", "From", "Addresses"),
];

const column = (id: string, header: string, cell: (e: Entry) => React.ReactNode, by: (e: Entry) => string | number, minWidth = 140): TableProps.ColumnDefinition<Entry> => ({
  id,
  header,
  cell,
  minWidth,
  sortingComparator: (a, b) => (by(a) < by(b) ? -1 : by(a) > by(b) ? 1 : 0),
});

const columns: TableProps.ColumnDefinition<Entry>[] = [
  { ...column("action", "Action", (e) => <Link href={href("audit", e.id)}>{e.action}</Link>, (e) => e.action, 200), isRowHeader: true },
  column("time", "Time", (e) => moment(e.time), (e) => e.time.getTime()),
  column("outcome", "Outcome", (e) => <Outcome entry={e} />, (e) => e.code),
  column("pod", "Pod", (e) => (e.pod ? `${e.namespace}/${e.pod}` : "-"), (e) => `${e.namespace}/${e.pod}`),
  column("role", "Role", (e) => e.role || "-", (e) => e.role),
  column("who", "Who", (e) => e.who, (e) => e.who),
];

const counter = (h: History, loading: boolean) => (loading && h.entries.length === 0 ? undefined : `(${h.entries.length.toLocaleString("en")}${h.whole ? "" : "+"})`);

const Older = ({ history, loading, onMore }: { history: History; loading: boolean; onMore: () => void }) => (
  <Box textAlign="center">
    <SpaceBetween size="xs" alignItems="center">
      {history.entries.length > 0 && <Box>{`There are older records than of ${moment(history.entries.at(-1)!.time)} in this time.`}</Box>}
      <Button onClick={onMore} loading={loading} loadingText="Loading">
        Load older records
      </Button>
    </SpaceBetween>
  </Box>
);

const NoMatch = ({ onClear }: { onClear: () => void }) => <Empty text="No record matches the filters." next={<Button onClick={onClear}>Clear the filters</Button>} />;

function Nothing({ range, onLonger }: { range: DateRangePickerProps.Value; onLonger: () => void }) {
  const isWeek = range.type === "relative" && range.unit === "day" && range.amount >= 7;
  return (
    <Empty
      text="Nothing was recorded in this time. Every call to this server leaves a record, that of a pod for its credentials among them."
      next={!isWeek && <Button onClick={onLonger}>Show the last 7 days</Button>}
    />
  );
}
