/** The account as it is seen: a form for its key, then jobs, webhooks, deliveries and ledger. */

import type { Account, AccountState } from "./account";
import { STATUSES, type Delivery, type JobItem, type JobStatus, type LedgerEntry } from "./account-api";
import { AttemptsCell } from "./delivery-attempts";
import { h, say } from "../base/dom";
import { clock, moment, span, time } from "../base/format";
import { madeOf } from "./split-choice";
import { only, Table } from "./table";
import { WebhookList } from "./webhook-list";

const STATUS: Record<JobStatus, string> = {
  PENDING: "waiting", PROCESSING: "separating", COMPLETED: "ready", FAILED: "failed", EXPIRED: "expired",
};
const OPENABLE: JobStatus[] = ["PENDING", "PROCESSING", "COMPLETED"];
const KINDS: Record<LedgerEntry["kind"], { label: string; sign: string }> = {
  GRANT: { label: "granted", sign: "+" }, HOLD: { label: "held", sign: "−" },
  CAPTURE: { label: "spent, of what was held", sign: "" }, RELEASE: { label: "given back", sign: "+" },
  REFUND: { label: "refunded", sign: "+" },
};

export class AccountView {
  readonly element: HTMLElement;
  private readonly input = h("input", { type: "password", id: "account-key", autocomplete: "off",
    spellcheck: "false", required: true, "aria-describedby": "account-problem" });
  private readonly problem = h("p", { class: "problem", id: "account-problem", role: "alert" });
  private readonly news = h("p", { class: "hidden", role: "status" });
  private readonly form: HTMLFormElement;
  private readonly inside: HTMLElement;
  private readonly balance = h("b", { class: "balance" });
  private readonly status: HTMLSelectElement;
  private readonly webhook = h("select", { "aria-label": "Deliveries of" });
  private readonly jobs: Table<JobItem>;
  private readonly deliveries: Table<Delivery>;
  private readonly ledger: Table<LedgerEntry>;
  private readonly webhooks: WebhookList;
  private signedIn = false;

  constructor(private readonly account: Account) {
    this.form = this.signing();
    this.status = h("select", { "aria-label": "Status of the jobs",
      change: () => void account.showJobs(this.status.value as JobStatus | "", 0) },
      h("option", { value: "" }, "All jobs"), ...STATUSES.map((value) =>
        h("option", { value }, STATUS[value])));
    this.webhook.addEventListener("change", () => void account.showDeliveries(this.webhook.value, 0));
    this.jobs = this.jobTable();
    this.deliveries = this.deliveryTable();
    this.ledger = this.ledgerTable();
    this.webhooks = new WebhookList((webhook) => void account.test(webhook));
    this.inside = h("div", { class: "inside", hidden: true },
      section("Balance", h("div", { class: "acts" }, this.balance,
        act("refresh", "Refresh", () => void account.refresh()),
        act("sign-out", "Sign out", () => account.signOut()))),
      section("Jobs", this.status, this.jobs.element),
      section("Webhooks", null, this.webhooks.element),
      section("Deliveries", this.webhook, this.deliveries.element),
      section("Ledger", null, this.ledger.element));
    this.element = h("section", { class: "account", "aria-label": "Account", hidden: true },
      this.form, this.problem, this.news, this.inside);
    account.store.subscribe((state) => this.update(state));
    this.update(account.store.value);
  }

  show(visible: boolean): void {
    this.element.hidden = !visible;
    if (visible && !this.signedIn) this.input.focus();
  }

  private update(state: AccountState): void {
    this.form.hidden = state.signedIn;
    this.inside.hidden = !state.signedIn;
    say(this.problem, state.problem);
    say(this.news, state.news);
    this.problem.hidden = state.problem === "";
    this.input.setAttribute("aria-invalid", String(!state.signedIn && state.problem !== ""));
    say(this.balance, state.balance === null ? "…" : span(state.balance));
    this.jobs.update(state.jobs);
    this.ledger.update(state.ledger);
    this.webhooks.update(state.webhooks);
    this.deliveries.update(state.deliveries);
    this.status.value = state.status;
    this.offer(state);
    if (this.signedIn !== state.signedIn && !this.element.hidden) this.refocus(state.signedIn);
    this.signedIn = state.signedIn;
  }

  /** The focus was on what is not there any more. */
  private refocus(signedIn: boolean): void {
    if (signedIn) this.inside.querySelector<HTMLElement>("[data-action=refresh]")?.focus();
    else this.input.focus();
  }

  private offer(state: AccountState): void {
    const wanted = ["", ...(state.webhooks ?? []).map(({ id }) => id)];
    if ([...this.webhook.options].map(({ value }) => value).join() !== wanted.join()) {
      this.webhook.replaceChildren(h("option", { value: "" }, "All"),
        ...(state.webhooks ?? []).map(({ id, url }) => h("option", { value: id }, url)));
    }
    this.webhook.value = wanted.includes(state.webhook) ? state.webhook : "";
    this.webhook.hidden = wanted.length === 1; // there is nothing to choose
  }

  private signing(): HTMLFormElement {
    return h("form", { class: "signing", submit: (event) => {
      event.preventDefault();
      const key = this.input.value.trim();
      this.input.value = "";
      if (key !== "") void this.account.signIn(key);
    } }, h("h2", {}, "Sign in with a key"),
    h("p", { class: "quiet" }, "It stays in this tab, and goes when the tab is closed."),
    h("label", { for: "account-key" }, "API key"),
    h("div", { class: "line" }, this.input, h("button", { class: "chip strong", type: "submit" }, "Sign in")));
  }

  private jobTable(): Table<JobItem> {
    return new Table<JobItem>("jobs", [
      { title: "Song", kind: "wide", show: nameCell },
      { title: "Status", show: ({ status, progress }) =>
        status === "PROCESSING" ? `${STATUS[status]} ${progress} %` : STATUS[status] },
      { title: "Made", show: ({ options }) => madeOf(options) },
      { title: "Length", kind: "number", show: ({ input }) => time(input.durationSeconds) },
      { title: "Spent", kind: "number", show: ({ creditsCharged }) => span(creditsCharged) },
      { title: "Posted", kind: "short", show: ({ createdAt }) => moment(createdAt) },
    ], (job) => job.id, (offset) => void this.account.showJobs(this.account.store.value.status, offset));
  }

  private deliveryTable(): Table<Delivery> {
    return new Table<Delivery>("deliveries", [
      { title: "Event", kind: "short", show: ({ event, isTest }) => (isTest ? `${event} (test)` : event) },
      { title: "To", kind: "wide", show: ({ url }) => url },
      { title: "State", kind: "short", show: stateOf },
      { title: "Answer", kind: "answer", show: ({ attempts }) => answerOf(attempts.at(-1)) },
      { title: "Attempts", kind: "attempts-cell", show: (delivery, cell) => AttemptsCell.fill(cell, delivery.attempts) },
      { title: "Since", kind: "short", show: ({ createdAt }) => moment(createdAt) },
      { title: "Actions", kind: "acts", silent: true, show: (delivery, cell) => this.again(delivery, cell) },
    ], (delivery) => delivery.id,
    (offset) => void this.account.showDeliveries(this.account.store.value.webhook, offset));
  }

  private ledgerTable(): Table<LedgerEntry> {
    return new Table<LedgerEntry>("entries", [
      { title: "Time", kind: "short", show: ({ createdAt }) => moment(createdAt) },
      { title: "What", kind: "wide", show: ({ kind }) => KINDS[kind].label },
      { title: "Credits", kind: "number", show: ({ kind, seconds }) => KINDS[kind].sign + span(seconds) },
      { title: "Balance", kind: "number", show: ({ balanceSeconds }) => span(balanceSeconds) },
      { title: "Job", kind: "id", show: ({ jobId }) => jobId ?? "" },
    ], (entry) => `${entry.kind} ${entry.jobId ?? ""} ${entry.createdAt} ${entry.balanceSeconds}`,
    (offset) => void this.account.showLedger(offset));
  }

  private again(delivery: Delivery, cell: HTMLElement): void {
    const label = `Send again: ${delivery.event} to ${delivery.url}, of ${moment(delivery.createdAt)}`;
    const button = only(cell, () => act("resend", "Send again", () => {
      const now = this.account.store.value.deliveries?.items.find(({ id }) => id === delivery.id);
      if (now) void this.account.resend(now);
    }, label));
    button.hidden = delivery.state === "DELIVERED";
    button.disabled = delivery.state === "WAITING" && delivery.attempts.length === 0;
  }
}

function nameCell(job: JobItem, cell: HTMLElement): void {
  const open = OPENABLE.includes(job.status);
  const name = only(cell, () => h("a", { "data-action": "open-job", dir: "auto" }));
  say(name, job.input.fileName);
  if (open) name.setAttribute("href", `#/split/${job.id}`);
  else name.removeAttribute("href");
  let error = cell.querySelector(".why");
  if (job.errorMessage === null) return void error?.remove();
  if (error === null) cell.append(error = h("span", { class: "why" }));
  say(error, job.errorMessage);
}

function stateOf(delivery: Delivery): string {
  if (delivery.state === "DELIVERED") return "delivered";
  if (delivery.state === "GIVEN_UP") return "given up";
  const next = Date.parse(delivery.nextAttemptAt ?? "");
  return next > Date.now() + 1000 ? `again at ${clock(next)}` : "under way";
}

function answerOf(attempt: Delivery["attempts"][number] | undefined): string {
  if (attempt === undefined) return "–";
  return attempt.statusCode === null ? attempt.error ?? "none" : `HTTP ${attempt.statusCode}`;
}

function section(title: string, beside: HTMLElement | null, ...content: HTMLElement[]): HTMLElement {
  const id = `account-${title.toLowerCase()}`;
  return h("section", { "aria-labelledby": id, "data-section": title.toLowerCase() },
    h("header", {}, h("h2", { id }, title), beside), ...content);
}

function act(action: string, text: string, click: () => void, label?: string): HTMLButtonElement {
  return h("button", { type: "button", class: "chip", "data-action": action, "aria-label": label, click }, text);
}
