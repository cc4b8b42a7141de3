/** Elements made in one line, icons, and the shapes that stand beside the tracks' colours. */

type Child = Node | string | null | undefined | false;
type Props = Record<string, string | boolean | EventListener | undefined>;

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K, props: Props = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child): child is Node | string => Boolean(child)));
  return element;
}

/** Sets a text only where it is another: nothing is announced or laid out twice. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** A button that cannot be pressed gives the focus to the other one. */
export function enable(button: HTMLButtonElement, can: boolean, other: HTMLButtonElement): void {
  const focused = button === document.activeElement;
  button.disabled = !can;
  if (focused && !can) {
    other.disabled = false;
    other.focus();
  }
}

const ICONS = {
  play: "M4 2.5v11l9-5.5z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  close: "M3.5 3.5l9 9m0-9l-9 9",
  download: "M8 2v8m-3.5-3L8 10.5 11.500 7M3 13.500h10",
  loop: "M4 5.500h6.500a2.500 2.500 0 0 1 0 5H5m-1.500-5l2-2m-2 2l2 2",
  more: "M3 8h.01M8 8h.01M13 8h.01",
  theme: "M8 2a6 6 0 1 0 0 12zM8 2a6 6 0 0 1 0 12",
  song: "M6 12V3.500l7-1.500v8.500M6 12a2 2 0 1 1-4 0 2 2 0 0 1 4 0zm7-1.500a2 2 0 1 1-4 0 2 2 0 0 1 4 0z",
  chevron: "M6 3.500L10.500 8 6 12.500",
} as const;

/** Marks of the tracks: a shape each, so that colour never stands alone. */
const MARKS: Record<string, string> = {
  vocals: "M8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3z",
  instrumental: "M3 3h10v10H3z",
  drums: "M3.500 3.500h9v9h-9z",
  bass: "M2.500 4h11L8 13.500z",
  other: "M8 2l6 6-6 6-6-6z",
  guitar: "M8 2.500l5.500 9.500h-11z",
  piano: "M2 5h12v6H2z",
  harmonic: "M2 6h12v1.500H2zM2 9h12v1.500H2z",
  percussive: "M4 2.500h1.500v11H4zM7.250 2.500h1.500v11h-1.500zM10.500 2.500H12v11h-1.500z",
  main: "M8 2.500l1.600 3.700 4 .3-3 2.700.9 3.900L8 11l-3.500 2.100.9-3.900-3-2.700 4-.3z",
  main_harmonic: "M3 4h10v2.500H3zM3 9.500h10V12H3z",
  main_percussive: "M4 3h2.500v10H4zM9.500 3H12v10H9.500z",
};

export function icon(name: keyof typeof ICONS): SVGElement {
  const filled = name === "play" || name === "pause";
  return drawing(ICONS[name], filled ? "icon filled" : "icon");
}

export function mark(track: string): SVGElement {
  return drawing(MARKS[track] ?? MARKS.other!, "mark");
}

function drawing(path: string, kind: string): SVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", kind);
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(space, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}
