/** Which of the page's places is seen: the songs, or the account. The address says. */

import { h } from "../base/dom";

export const ACCOUNT = "#/account";

export class Places {
  readonly links: HTMLElement;
  private readonly songs = h("a", { class: "chip", href: "#/" }, "Songs");
  private readonly account = h("a", { class: "chip", href: ACCOUNT }, "Account");

  /** `shown` hears whether the account is to be seen: at once, and at every change. */
  constructor(private readonly shown: (account: boolean) => void) {
    this.links = h("nav", { "aria-label": "Places" }, this.songs, this.account,
      h("a", { class: "chip", href: "docs" }, "API"));
    window.addEventListener("hashchange", () => this.show());
  }

  show(): void {
    const account = location.hash === ACCOUNT;
    for (const [link, here] of [[this.songs, !account], [this.account, account]] as const) {
      if (here) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.shown(account);
  }
}
