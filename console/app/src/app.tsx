import AppLayout from "@cloudscape-design/components/app-layout";
import BreadcrumbGroup from "@cloudscape-design/components/breadcrumb-group";
import Box from "@cloudscape-design/components/box";
import SideNavigation from "@cloudscape-design/components/side-navigation";
import Spinner from "@cloudscape-design/components/spinner";
import { Component, type ReactNode, Suspense, useEffect, useState } from "react";
import { type Page, pages } from "./pages";
import { FlashBar, FlashProvider, useFlashItems } from "./parts/flash";
import { Empty } from "./parts/listing";
import { go, href, match, type Params, useRoute } from "./router";

const wide = window.matchMedia("(min-width: 689px)");

/** The page of a place, in the frame that all pages have. */
export function App() {
  const place = useRoute();
  const { items, flashes } = useFlashItems();
  const [open, setOpen] = useState(wide.matches);
  const found = find(place);
  useEffect(() => {
    const follow = () => setOpen(wide.matches); // the layout closes it on a small screen, and opens it on none
    wide.addEventListener("change", follow);
    return () => wide.removeEventListener("change", follow);
  }, []);
  useEffect(() => {
    if (place.length === 0) go(pages[0]!.path);
  }, [place]);
  const title = found?.page.title(found.params) ?? "Not found";
  useEffect(() => {
    document.title = `${title} - Lanyard`;
  }, [title]);
  const here = found?.page.above ?? found?.page.path ?? "";
  return (
    <FlashProvider value={flashes}>
      <AppLayout
        headerSelector="#top"
        toolsHide
        navigationOpen={open}
        onNavigationChange={({ detail }) => setOpen(detail.open)}
        ariaLabels={{ navigation: "Pages", navigationClose: "Close the list of pages", navigationToggle: "Open the list of pages", notifications: "Notifications" }}
        navigation={
          <SideNavigation
            header={{ text: "Lanyard", href: "#/" }}
            activeHref={href(here)}
            items={[
              ...pages.filter((p) => p.navigation).map((p) => ({ type: "link", text: p.title({}), href: href(p.path) }) as const),
              { type: "divider" },
              { type: "link", text: "Licenses", href: "licenses.txt", external: true, externalIconAriaLabel: "Opens in a new tab" },
            ]}
            onFollow={() => wide.matches || setOpen(false)}
          />
        }
        breadcrumbs={<BreadcrumbGroup ariaLabel="Breadcrumbs" items={crumbs(place, found)} />}
        notifications={<FlashBar items={items} />}
        content={
          <Guard key={`${found?.page.path} ${found?.params.name}`}>
            <Suspense fallback={<Waiting />}>
              {found ? <found.page.page params={found.params} /> : <Empty text="There is no such page." next={<a href="#/">To the clusters</a>} />}
            </Suspense>
          </Guard>
        }
      />
    </FlashProvider>
  );
}

interface Found {
  page: Page;
  params: Params;
}

function find(place: string[]): Found | undefined {
  for (const page of pages) {
    const params = match(page.path, place);
    if (params) return { page, params };
  }
}

function crumbs(place: string[], found?: Found) {
  const above = pages.find((p) => p.path === found?.page.above);
  return [
    { text: "Lanyard", href: "#/" },
    ...(above ? [{ text: above.title({}), href: href(above.path) }] : []),
    ...(found ? [{ text: found.page.title(found.params), href: href(...place) }] : []),
  ];
}

const Waiting = () => (
  <Box textAlign="center" padding="xxl">
    <Spinner size="large" />
  </Box>
);

/** A page that throws is told of, and the rest of the console goes on. */
class Guard extends Component<{ children: ReactNode }, { error?: Error }> {
  override state: { error?: Error } = {};

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    return this.state.error ? <Empty text={`This page has failed: ${this.state.error.message}`} /> : this.props.children;
  }
}
