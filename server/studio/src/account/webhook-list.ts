/** The account's webhooks: where they lead, how they get on, a button that tests each. */

import type { Webhook } from "./account-api";
import { h, say } from "../base/dom";
import { counted, moment } from "../base/format";

interface Row {
  element: HTMLElement;
  state: HTMLElement;
  error: HTMLElement;
}

export class WebhookList {
  readonly element: HTMLElement;
  private readonly list = h("ul", { class: "webhooks" });
  private readonly none = h("p", { class: "none" });
  private readonly rows = new Map<string, Row>();

  constructor(private readonly test: (webhook: Webhook) => void) {
    this.element = h("div", {}, this.list, this.none);
  }

  update(webhooks: Webhook[] | null): void {
    this.none.hidden = webhooks !== null && webhooks.length > 0;
    say(this.none, webhooks === null ? "Loading …" : "No webhooks. POST /webhooks registers one.");
    const ids = new Set(webhooks?.map(({ id }) => id));
    for (const [id, row] of this.rows) {
      if (ids.has(id)) continue;
      row.element.remove();
      this.rows.delete(id);
    }
    for (const webhook of webhooks ?? []) this.show(webhook);
  }

  private show(webhook: Webhook): void {
    const { state, error } = this.rows.get(webhook.id) ?? this.add(webhook);
    const called = webhook.lastCalledAt === null ? "never called" : `last called ${moment(webhook.lastCalledAt)}`;
    const failures = webhook.failCount > 0 ? `, ${counted(webhook.failCount, "failure")} in a row` : "";
    say(state, `${webhook.isActive ? "active" : "switched off"}, ${called}${failures}`);
    say(error, webhook.lastError ?? "");
  }

  private add(webhook: Webhook): Row {
    const row = { state: h("span", { class: "quiet" }), error: h("span", { class: "why" }) };
    const button = h("button", { type: "button", class: "chip", "data-action": "test",
      "aria-label": `Send a test event to ${webhook.url}`, click: () => this.test(webhook) },
      "Send test event");
    const element = h("li", { "data-id": webhook.id }, h("span", { class: "about" },
      h("span", { class: "address" }, webhook.url),
      h("span", { class: "quiet" }, webhook.events.join(", ")), row.state, row.error), button);
    this.list.append(element);
    this.rows.set(webhook.id, { element, ...row });
    return { element, ...row };
  }
}
