/**
 * What the viewer leaves out for people who do not see it: names of its fields, the order of its
 * headings, a way into what scrolls. It draws anew at every click, so each change is looked at.
 */

export function mend(root: HTMLElement): void {
  let due = false;
  const repair = (): void => {
    due = false;
    REPAIRS.forEach(([selector, change]) => root.querySelectorAll<HTMLElement>(selector).forEach(change));
  };
  new MutationObserver(() => {
    if (!due) requestAnimationFrame(repair);
    due = true;
  }).observe(root, { childList: true, subtree: true });
}

const REPAIRS: [selector: string, change: (element: HTMLElement) => void][] = [
  [".information-container:not([role])", region("About this API")],
  [".scheme-container:not([role])", region("Server and key")],
  ["h3.opblock-tag:not([aria-level])", level(2)],
  ["h3.opblock-tag[data-tag=default] span", retold("Requests")], // what has no tag is called "default"
  [".models > :is(h3, h4):not([aria-level])", level(2)],
  [":is(.opblock-section-header, .responses-inner) h4:not([aria-level])", level(3)],
  [".responses-inner h5:not([aria-level])", level(4)],
  [":is(pre, .microlight):not([tabindex])", (box) => box.setAttribute("tabindex", "0")],
  [":is(select, textarea, input):not([aria-label], [type=checkbox], [type=file])", name],
];

/** In the viewer's own text node: it would put back another one. */
function retold(text: string): (element: HTMLElement) => void {
  return ({ firstChild }) => {
    if (firstChild !== null) firstChild.nodeValue = text;
  };
}

function region(label: string): (part: HTMLElement) => void {
  return (part) => {
    part.setAttribute("role", "region");
    part.setAttribute("aria-label", label);
  };
}

function level(number: number): (heading: HTMLElement) => void {
  return (heading) => {
    heading.setAttribute("role", "heading");
    heading.setAttribute("aria-level", String(number));
  };
}

/** A field is called what stands beside it. */
function name(field: HTMLElement): void {
  const labels = [...((field as HTMLInputElement).labels ?? [])];
  if (labels.some((label) => label.innerText.trim() !== "" && !label.contains(field))) return;
  const row = field.closest("tr")?.querySelector(".parameter__name")?.firstChild?.textContent;
  const placeholder = field.getAttribute("placeholder");
  const kind = field.matches(".servers *") ? "Server" : field.matches(".content-type") ? "Media type"
    : field.matches("textarea") ? "Body" : "Choice";
  field.setAttribute("aria-label", row || placeholder || kind);
}
