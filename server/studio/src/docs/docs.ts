/** The reference of both APIs, from the documents that this server itself serves. */

import { icon } from "../base/dom";
import { mend } from "./docs-mend";
import { ThemeSwitch } from "../base/theme";

/** The bundled viewer; it comes as a script of its own. */
declare const SwaggerUIBundle: (options: {
  url: string;
  dom_id: string;
  deepLinking: boolean;
  tryItOutEnabled: boolean;
  validatorUrl: null;
}) => void;

const DOCUMENTS: Record<string, string> = { pipeline: "openapi.json", stemsplit: "api/v1/openapi" };

function show(): void {
  const chosen = location.hash.slice(1) in DOCUMENTS ? location.hash.slice(1) : "pipeline";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#${chosen}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  SwaggerUIBundle({
    url: DOCUMENTS[chosen]!,
    dom_id: "#reference",
    deepLinking: false, // the address names the API
    tryItOutEnabled: true,
    validatorUrl: null, // nothing leaves this server
  });
}

const button = document.querySelector<HTMLButtonElement>('[data-action="theme"]')!;
button.append(icon("theme"));
const theme: ThemeSwitch = new ThemeSwitch(button, () => queueMicrotask(paint));

function paint(): void {
  document.documentElement.classList.toggle("dark-mode", theme.dark);
}

mend(document.getElementById("reference")!);
window.addEventListener("hashchange", show);
show();
