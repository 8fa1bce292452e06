import { useCollection } from "@cloudscape-design/collection-hooks";
import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import Header from "@cloudscape-design/components/header";
import Pagination from "@cloudscape-design/components/pagination";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Table, { type TableProps } from "@cloudscape-design/components/table";
import TextFilter from "@cloudscape-design/components/text-filter";
import { type ReactNode, useEffect, useRef } from "react";
import type { Loaded } from "./load";
import { NotLoaded } from "./notloaded";

export interface Column<T> {
  id: string;
  header: string;
  cell: (item: T) => ReactNode;
  /** By what it is sorted; without it, it is not. */
  sort?: (item: T) => string | number;
  width?: number;
}

export interface ListingProps<T> {
  /** What these are, in the plural: "Associations". */
  title: string;
  /** One of them, for labels: "association". */
  one: string;
  loaded: Loaded<readonly T[]>;
  columns: Column<T>[];
  keyOf: (item: T) => string;
  /** What one is called aloud; without it, its key. */
  labelOf?: (item: T) => string;
  /** What is searched of an item; the text of none is lower case. */
  textOf: (item: T) => string;
  /** Where there are none: what they are for, and the next step. */
  empty: { text: ReactNode; next?: ReactNode };
  description?: ReactNode;
  actions?: ReactNode[];
  /** Called with the items that are on the screen. */
  onShown?: (items: readonly T[]) => void;
  selection?: { selected: T[]; onSelect: (items: T[]) => void; kind?: "single" | "multi" };
  pageSize?: number;
  level?: "h1" | "h2";
}

/** A table that is searched, sorted and paged in memory. */
export function Listing<T>(p: ListingProps<T>) {
  const all = p.loaded.data ?? [];
  const { items, collectionProps, filterProps, paginationProps, filteredItemsCount, actions } = useCollection(all, {
    filtering: {
      filteringFunction: (item, text) => p.textOf(item).toLowerCase().includes(text.trim().toLowerCase()),
      empty: <Empty text={p.empty.text} next={p.empty.next} />,
      noMatch: <Empty text={`No ${p.one} matches.`} next={<Button onClick={() => actions.setFiltering("")}>Clear the search</Button>} />,
    },
    sorting: {},
    pagination: { pageSize: p.pageSize ?? 20 },
    selection: { keepSelection: true, trackBy: p.keyOf },
  });
  const shown = items.map(p.keyOf).join("\n");
  const latest = useRef(p.onShown);
  latest.current = p.onShown;
  useEffect(() => latest.current?.(items), [shown, p.loaded.data]); // eslint-disable-line react-hooks/exhaustive-deps
  // The table knows the column that it is sorted by from the comparator, which therefore stays the same.
  const sorts = useRef(new Map(p.columns.map((c) => [c.id, c.sort && comparing(c.sort)])));
  const columns: TableProps.ColumnDefinition<T>[] = p.columns.map((column, i) => ({
    id: column.id,
    header: column.header,
    cell: column.cell,
    minWidth: column.width ?? 140,
    isRowHeader: i === 0,
    sortingComparator: sorts.current.get(column.id),
  }));
  const selection = p.selection && {
    selectionType: p.selection.kind ?? "single",
    selectedItems: p.selection.selected,
    onSelectionChange: ({ detail }: { detail: TableProps.SelectionChangeDetail<T> }) => p.selection!.onSelect(detail.selectedItems),
  };
  const busy = p.loaded.loading && all.length === 0;
  return (
    <SpaceBetween size="s">
      {p.loaded.error && <NotLoaded what={`The ${p.title.toLowerCase()}`} why={p.loaded.error} onRetry={p.loaded.reload} />}
      <Table
        {...collectionProps}
        {...selection}
        items={items}
        columnDefinitions={columns}
        trackBy={p.keyOf}
        loading={busy}
        loadingText={`Loading ${p.title.toLowerCase()}`}
        wrapLines
        enableKeyboardNavigation
        empty={p.loaded.error ? <Empty text="Nothing could be loaded." /> : collectionProps.empty}
        ariaLabels={{
          tableLabel: p.title,
          selectionGroupLabel: `Choose ${p.title.toLowerCase()}`,
          allItemsSelectionLabel: () => "Choose all",
          itemSelectionLabel: (_, item) => `Choose ${(p.labelOf ?? p.keyOf)(item)}`,
        }}
        header={
          <Header
            variant={p.level ?? "h2"}
            counter={counter(all.length, p.loaded.loading)}
            description={p.description}
            actions={
              <SpaceBetween direction="horizontal" size="xs">
                <Button iconName="refresh" ariaLabel={`Refresh ${p.title.toLowerCase()}`} loading={p.loaded.loading} loadingText="Loading" onClick={p.loaded.reload} />
                {p.actions}
              </SpaceBetween>
            }
          >
            {p.title}
          </Header>
        }
        filter={
          all.length > 0 && (
            <TextFilter
              {...filterProps}
              filteringPlaceholder={`Search ${p.title.toLowerCase()}`}
              filteringAriaLabel={`Search ${p.title.toLowerCase()}`}
              countText={`${(filteredItemsCount ?? 0).toLocaleString("en")} ${filteredItemsCount === 1 ? "match" : "matches"}`}
            />
          )
        }
        pagination={
          all.length > (p.pageSize ?? 20) && (
            <Pagination
              {...paginationProps}
              ariaLabels={{ nextPageLabel: "Next page", previousPageLabel: "Previous page", pageLabel: (n) => `Page ${n}`, paginationLabel: `Pages of ${p.title.toLowerCase()}` }}
            />
          )
        }
      />
    </SpaceBetween>
  );
}

const counter = (n: number, loading: boolean) => (loading && n === 0 ? undefined : `(${n.toLocaleString("en")}${loading ? "…" : ""})`);

function comparing<T>(by: (item: T) => string | number) {
  return (a: T, b: T) => {
    const x = by(a);
    const y = by(b);
    return x < y ? -1 : x > y ? 1 : 0;
  };
}

export const Empty = ({ text, next }: { text: ReactNode; next?: ReactNode }) => (
  <Box textAlign="center" color="inherit" margin={{ vertical: "xs" }}>
    <SpaceBetween size="s">
      <Box color="inherit">{text}</Box>
      {next}
    </SpaceBetween>
  </Box>
);
