/**
 * An account as long as its key is in this tab: what is known of it, and what can be done.
 * The only one that asks for it and changes it; the view is a function of its state.
 */

import {
  AccountError, PAGE, type AccountApi, type Delivery, type JobItem, type JobStatus, type LedgerEntry, type Page, type Webhook,
} from "./account-api";
import { ApiError } from "../api/api";
import { Store } from "../base/store";

export interface AccountState {
  signedIn: boolean;
  /** What went wrong, in a sentence; empty while nothing does. */
  problem: string;
  /** What was done, for those who do not see it. */
  news: string;
  balance: number | null;
  status: JobStatus | "";
  /** The webhook whose deliveries are shown, "" for all. */
  webhook: string;
  jobs: Page<JobItem> | null;
  ledger: Page<LedgerEntry> | null;
  deliveries: Page<Delivery> | null;
  webhooks: Webhook[] | null;
}

const EMPTY: AccountState = {
  signedIn: false, problem: "", news: "", balance: null, status: "", webhook: "",
  jobs: null, ledger: null, deliveries: null, webhooks: null,
};
const PLACE = "stembox.account";
const PARTS = ["jobs", "ledger", "deliveries"] as const;
const REST = 5000; // milliseconds until a server that is away is asked again
const JOBS_TURN = 10_000; // between two looks at jobs that run: a key has a limit
const DELIVERIES_TURN = 2500;
const REST_TURNS = 4; // left out at most, while deliveries tell nothing new
const SOON = 15_000; // a delivery that is tried within this time is worth waiting for

export class Account {
  readonly store = new Store<AccountState>(EMPTY);
  private visible = false;
  private offsets = { jobs: 0, ledger: 0, deliveries: 0 };
  private retry: number | undefined;
  private session = 0;
  private quiet = 0; // looks at deliveries in a row that told nothing new
  private turns = 0; // since the last look

  /** `changed` hears of signing in, with the key, and out, with "". */
  constructor(private readonly api: AccountApi, private readonly changed: (key: string) => void) {
    setInterval(() => void this.watchJobs(), JOBS_TURN);
    setInterval(() => void this.watchDeliveries(), DELIVERIES_TURN);
  }

  /** Goes on with the key that this tab has, if it has one. */
  start(): void {
    const key = kept();
    if (key !== "") this.enter(key);
  }

  show(visible: boolean): void {
    this.visible = visible;
    if (visible) void this.refresh();
  }

  async signIn(key: string): Promise<void> {
    this.enter(key);
    await this.refresh();
  }

  signOut(problem = ""): void {
    this.session++; // answers that are still to come are nobody's
    window.clearTimeout(this.retry);
    keep("");
    this.api.key = "";
    this.offsets = { jobs: 0, ledger: 0, deliveries: 0 };
    this.store.update({ ...EMPTY, problem });
    this.changed("");
  }

  /** Everything anew. */
  async refresh(): Promise<void> {
    await this.doing(async () => {
      const { status, webhook } = this.store.value;
      const [{ balanceSeconds }, jobs, ledger, webhooks, deliveries] = await Promise.all([
        this.api.balance(), this.api.jobs(status, this.offsets.jobs), this.api.ledger(this.offsets.ledger),
        this.api.webhooks(), this.api.deliveries(webhook, this.offsets.deliveries),
      ]);
      return { balance: balanceSeconds, jobs, ledger, webhooks, deliveries };
    });
  }

  async showJobs(status: JobStatus | "", offset: number): Promise<void> {
    this.offsets.jobs = offset;
    this.store.update({ status });
    await this.doing(async () => ({ jobs: await this.api.jobs(status, offset) }));
  }

  async showLedger(offset: number): Promise<void> {
    this.offsets.ledger = offset;
    await this.doing(async () => ({ ledger: await this.api.ledger(offset) }));
  }

  async showDeliveries(webhook: string, offset: number): Promise<void> {
    this.offsets.deliveries = offset;
    this.store.update({ webhook });
    await this.doing(async () => ({ deliveries: await this.api.deliveries(webhook, offset) }));
  }

  async test(webhook: Webhook): Promise<void> {
    this.store.update({ news: "" });
    this.offsets.deliveries = 0;
    await this.doing(async () => {
      await this.api.test(webhook.id);
      return { ...await this.sent(), news: `A test event is on its way to ${webhook.url}.` };
    });
  }

  async resend(delivery: Delivery): Promise<void> {
    this.store.update({ news: "" });
    await this.doing(async () => {
      await this.api.resend(delivery.id);
      return { ...await this.sent(), news: `The event is on its way to ${delivery.url} again.` };
    });
  }

  private enter(key: string): void {
    this.session++;
    this.api.key = key;
    keep(key);
    this.store.update({ ...EMPTY, signedIn: true });
    this.changed(key);
  }

  /** Jobs that run get on by themselves. */
  private async watchJobs(): Promise<void> {
    const { jobs, status } = this.store.value;
    if (jobs === null || running(jobs) === 0 || !this.looking) return;
    await this.doing(async () => ({ jobs: await this.api.jobs(status, this.offsets.jobs) }));
    const now = this.store.value.jobs;
    if (now !== null && running(now) < running(jobs)) await this.refresh(); // credits and events, too
  }

  private async watchDeliveries(): Promise<void> {
    const waited = this.store.value.deliveries?.items.some((one) =>
      one.nextAttemptAt !== null && Date.parse(one.nextAttemptAt) < Date.now() + SOON);
    if (!waited || !this.looking || this.turns++ < Math.min(this.quiet, REST_TURNS)) return;
    this.turns = 0;
    await this.doing(() => this.sent(JSON.stringify(this.store.value.deliveries)));
  }

  /** How deliveries stand, unless as `before`; then the webhooks, which are what came of these, or of
   * newer ones. */
  private async sent(before = ""): Promise<Partial<AccountState>> {
    const deliveries = await this.api.deliveries(this.store.value.webhook, this.offsets.deliveries);
    this.quiet = JSON.stringify(deliveries) === before ? this.quiet + 1 : 0;
    if (this.quiet > 0) return {};
    return { deliveries, webhooks: await this.api.webhooks() };
  }

  /** Somebody looks, and nothing speaks against asking. */
  private get looking(): boolean {
    const { signedIn, problem } = this.store.value;
    return this.visible && signedIn && problem === "" && document.visibilityState === "visible";
  }

  /** Which page of each list is to be seen. */
  private get wanted(): Record<(typeof PARTS)[number], string> {
    const { offsets, store: { value: { status, webhook } } } = this;
    return { jobs: `${status} ${offsets.jobs}`, ledger: `${offsets.ledger}`,
      deliveries: `${webhook} ${offsets.deliveries}` };
  }

  /** Asks, and takes what comes into the state, unless another page is wanted meanwhile; what goes
   * wrong is said there. */
  private async doing(ask: () => Promise<Partial<AccountState>>): Promise<void> {
    if (!this.store.value.signedIn) return;
    const { session, wanted } = this;
    try {
      const change = await ask();
      if (session !== this.session) return;
      const now = this.wanted;
      for (const part of PARTS) if (wanted[part] !== now[part]) delete change[part];
      this.store.update({ problem: "", ...change });
      this.goBack();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (session === this.session) this.onProblem(error);
    }
  }

  /** A page that has become empty: what was on it has gone, or moved to the one before. */
  private goBack(): void {
    const { jobs, deliveries, status, webhook } = this.store.value;
    if (beyond(jobs)) void this.showJobs(status, Math.max(0, this.offsets.jobs - PAGE));
    if (beyond(deliveries)) void this.showDeliveries(webhook, Math.max(0, this.offsets.deliveries - PAGE));
  }

  private onProblem(error: ApiError): void {
    if (error.status === 401 || error.status === 403) return this.signOut(error.message);
    if (error instanceof AccountError && error.code === "WEBHOOK_NOT_FOUND" && this.store.value.webhook !== "") {
      this.offsets.deliveries = 0; // it was deleted elsewhere: all are shown
      this.store.update({ webhook: "" });
      return void this.refresh();
    }
    const passing = error.status === 0 || error.status === 429 || error.status >= 500;
    const wait = Math.max(error.wait * 1000, REST);
    const what = said(error.message);
    const then = passing ? ` The page tries again in ${Math.ceil(wait / 1000)} s.` : "";
    this.store.update({ problem: what + then });
    if (!passing) return;
    window.clearTimeout(this.retry);
    this.retry = window.setTimeout(() => void this.refresh(), wait);
  }
}

/** What the server says, as a sentence. Of the key's limit it says when to come back, as the page does. */
function said(message: string): string {
  if (message.startsWith("Rate limit exceeded")) return "This key has made too many requests.";
  return /[.!?]$/.test(message) ? message : `${message}.`;
}

function running(page: Page<JobItem>): number {
  return page.items.filter(({ status }) => status === "PENDING" || status === "PROCESSING").length;
}

function beyond(page: Page<unknown> | null): boolean {
  return page !== null && page.items.length === 0 && page.pagination.offset > 0;
}

function kept(): string {
  try {
    return sessionStorage.getItem(PLACE) ?? "";
  } catch {
    return "";
  }
}

function keep(key: string): void {
  try {
    if (key === "") sessionStorage.removeItem(PLACE);
    else sessionStorage.setItem(PLACE, key);
  } catch {
    // it holds for this page
  }
}
