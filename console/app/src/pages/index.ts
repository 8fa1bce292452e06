// Every page has a file in this folder and a row here. A row says where the page is, what it is called, and the file.

import { type ComponentType, lazy, type LazyExoticComponent } from "react";
import type { Params } from "../router";

/** What a page is given: the parts of its path that have a colon. */
export interface PageProps {
  params: Params;
}

export interface Page {
  /** Such as "clusters/:name/:tab?". */
  path: string;
  title: (params: Params) => string;
  /** The page above it, in the breadcrumbs. */
  above?: string;
  /** Its place in the navigation is in this order; without it, it has none. */
  navigation?: boolean;
  page: LazyExoticComponent<ComponentType<PageProps>>;
}

export const pages: Page[] = [
  { path: "clusters", title: () => "Clusters", navigation: true, page: lazy(() => import("./clusters")) },
  { path: "clusters/:name/:tab?", title: (p) => p.name!, above: "clusters", page: lazy(() => import("./cluster")) },
  { path: "roles", title: () => "Roles", navigation: true, page: lazy(() => import("./roles")) },
  { path: "roles/:name", title: (p) => p.name!, above: "roles", page: lazy(() => import("./role")) },
  { path: "map", title: () => "Map", navigation: true, page: lazy(() => import("./map")) },
  { path: "audit", title: () => "Audit", navigation: true, page: lazy(() => import("./audit")) },
  { path: "audit/:event", title: () => "Record", above: "audit", page: lazy(() => import("./auditevent")) },
];
