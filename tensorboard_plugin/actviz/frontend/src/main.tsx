// TensorBoard imports this module into the tab's frame, and calls render().
import { render as mount } from "preact";
import { App } from "./app";
import { startDetail } from "./detail";
import { followFindings } from "./findings";
import { listenToKeys } from "./keys";
import { startPolling } from "./poll";
import "./style.css";
import "./frame.css";
import { followTheme } from "./theme";
import { followUrl } from "./url";
import { followStep } from "./zoom";

export async function render(): Promise<void> {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL("index.css", import.meta.url).href;
  await new Promise((done) => {
    style.onload = style.onerror = done;
    document.head.append(style);
  });
  document.documentElement.lang = "en";
  document.title = "Activations";
  followTheme();
  followUrl();
  listenToKeys();
  startPolling();
  startDetail();
  followFindings();
  followStep();
  mount(<App />, document.body);
  // So that the keys work without a click first.
  document.body.tabIndex = -1;
  window.focus();
}
