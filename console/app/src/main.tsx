import "@cloudscape-design/global-styles/index.css";
import "./page.css";
import { I18nProvider } from "@cloudscape-design/components/i18n";
import messages from "@cloudscape-design/components/i18n/messages/all.en";
import { createRoot } from "react-dom/client";
import { takeLink } from "./link";
import { Root } from "./root";

// Before anything is drawn or asked for: what the link brought is not to stay in the address bar.
const link = takeLink();

createRoot(document.getElementById("page")!).render(
  <I18nProvider locale="en" messages={[messages]}>
    <Root link={link} />
  </I18nProvider>,
);
