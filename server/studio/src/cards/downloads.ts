/** Links to files where a link alone is not let in: the page fetches the file, and hands it over. */

import { h } from "../base/dom";
import type { Studio } from "../studio/studio";

const KEPT = 60_000; // milliseconds for which a browser may still read what it is to save

export class Downloads {
  constructor(private readonly studio: Studio) {}

  /** Takes a click over, if it is one on such a link. */
  click(event: Event): void {
    const link = (event.target as HTMLElement).closest("a[download]");
    if (!(link instanceof HTMLAnchorElement) || !this.studio.indirect(link.href)) return;
    event.preventDefault();
    if (!link.hasAttribute("aria-busy")) void this.fetch(link);
  }

  private async fetch(link: HTMLAnchorElement): Promise<void> {
    link.setAttribute("aria-busy", "true");
    link.setAttribute("aria-disabled", "true");
    const file = await this.studio.download(link.href, (part) => {
      link.style.setProperty("--part", `${(100 * part).toFixed(1)}%`);
    });
    link.removeAttribute("aria-busy");
    if (link.hasAttribute("href")) link.removeAttribute("aria-disabled");
    link.style.removeProperty("--part");
    if (file === null) return;
    h("a", { download: file.name, href: file.href }).click();
    if (file.href.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(file.href), KEPT);
  }
}
