/** One song: its header, and, when it is open, its player. A function of the song's state. */

import { Body, type BodyActions } from "./body";
import { h, icon, say } from "../base/dom";
import { quoted } from "../base/format";
import { audible, phaseOf, type Song } from "../songs/state";
import { adviceOf, lengthOf, progressOf, statusOf } from "../songs/status";
import type { Studio } from "../studio/studio";

const PLAYABLE = ["loading", "queued", "separating", "done", "uploading"];
const READY = ["done", "loading"]; // or perhaps, as long as nobody knows
const RETRIABLE = ["failed", "refused", "expired"];

export class Card {
  readonly element: HTMLElement;
  private readonly title = h("span", { class: "title", dir: "auto" });
  private readonly length = h("span", { class: "length" });
  private readonly made = h("span", { class: "made" });
  private readonly purchase = h("a", { class: "chip", "data-action": "purchase", target: "_blank",
    rel: "noopener noreferrer", hidden: true }, "Get credits");
  private readonly status = h("span", { class: "status" });
  private readonly bar = h("span", { class: "bar" });
  private readonly advice = h("p", { class: "advice" });
  private readonly retry: HTMLButtonElement;
  private readonly play: HTMLButtonElement;
  private readonly opener: HTMLButtonElement;
  private readonly remove: HTMLButtonElement;
  private readonly forget: HTMLButtonElement;
  private readonly forgetAll: HTMLButtonElement;
  private body: Body | null = null;
  private song: Song | null = null;
  private open = false;
  private expired = 0;

  constructor(
    private readonly studio: Studio, private readonly key: string, private readonly actions: BodyActions,
  ) {
    this.play = h("button", { type: "button", class: "icon-button", "data-action": "play",
      "aria-label": "Play", click: () => void studio.toggle(key) }, icon("play"));
    this.opener = h("button", { type: "button", class: "opener", "data-action": "open",
      click: () => studio.open(studio.store.value.open === key ? null : key) },
      icon("chevron"), this.title);
    this.remove = h("button", { type: "button", class: "icon-button", "data-action": "remove",
      click: () => this.removing() }, icon("close"));
    this.retry = h("button", { type: "button", class: "chip", "data-action": "retry",
      click: () => studio.intake.retry(key) }, "Try again");
    this.forget = h("button", { type: "button", class: "chip", "data-action": "forget",
      click: () => void studio.remove(key) }, "Forget it");
    this.forgetAll = h("button", { type: "button", class: "chip", "data-action": "forget-expired",
      click: () => studio.forgetExpired() });
    const head = h("header", {}, this.play, h("h2", {}, this.opener), this.length, this.made, this.status, this.remove);
    const line = h("div", { class: "progress", role: "progressbar", "aria-label": "Progress",
      "aria-valuemin": "0", "aria-valuemax": "100" }, this.bar);
    this.element = h("article", { class: "card" }, head, line, this.advice,
      h("div", { class: "ways" }, this.purchase, this.retry, this.forget, this.forgetAll));
  }

  get player(): Body | null {
    return this.body;
  }

  /** Takes the focus as a whole: the keys are the player's, and the next Tab goes into it. */
  focus(): void {
    const { element } = this;
    element.tabIndex = -1;
    element.addEventListener("blur", () => element.removeAttribute("tabindex"), { once: true });
    element.focus();
  }

  close(): void {
    this.body?.close();
    this.element.remove();
  }

  /** Shows the song as it is now; returns whether anything of it is new. */
  update(song: Song, open: boolean): boolean {
    if (song === this.song && open === this.open) return false;
    this.song = song;
    this.open = open;
    this.refresh();
    return true;
  }

  /** Shows once more what does not hang on the song alone, as what is left of an upload. */
  refresh(): void {
    const { song, open } = this;
    if (song === null) return;
    const phase = phaseOf(song);
    this.element.dataset.phase = phase;
    if (song.id !== "") this.element.dataset.job = song.id;
    say(this.title, song.name || "Song");
    this.element.setAttribute("aria-label", this.title.textContent!);
    this.title.title = this.title.textContent!; // it may be cut
    say(this.length, lengthOf(song));
    say(this.made, song.job?.made ?? "");
    this.offer(song.purchase ?? "");
    say(this.status, statusOf(song, Date.now()));
    this.progress(progressOf(song));
    const advice = adviceOf(song, this.studio.store.value.retention);
    say(this.advice, advice);
    this.advice.hidden = advice === "";
    this.retry.hidden = !RETRIABLE.includes(phase) || !this.studio.intake.canRetry(this.key);
    this.forgetting();
    const cancel = phase === "uploading" || phase === "queued" || phase === "separating";
    const label = `${cancel ? "Cancel" : "Remove"} ${song.name}`;
    this.remove.setAttribute("aria-label", label);
    this.remove.title = cancel ? "Cancel" : "Remove";
    this.remove.setAttribute("aria-disabled", String(song.leaving ?? false)); // it keeps the focus
    this.unfold(song, open && PLAYABLE.includes(phase));
    this.opener.setAttribute("aria-expanded", String(this.body !== null));
    this.play.disabled = !audible(song);
    this.opener.disabled = !PLAYABLE.includes(phase);
  }

  /** So many songs of the list have expired. */
  count(expired: number): void {
    if (expired === this.expired) return;
    this.expired = expired;
    this.forgetting();
  }

  private forgetting(): void {
    const expired = this.element.dataset.phase === "expired";
    this.forget.hidden = !expired;
    this.forgetAll.hidden = !expired || this.expired < 2;
    say(this.forgetAll, `Forget all ${this.expired} expired`);
  }

  /** Where there are more credits, if the server says so. */
  private offer(url: string): void {
    this.purchase.hidden = !/^https?:/.test(url);
    if (!this.purchase.hidden) this.purchase.href = url;
  }

  /** Files that are ready, or may be, go only after a question. */
  private removing(): void {
    if (this.song?.leaving) return;
    if (!READY.includes(this.element.dataset.phase!)) return void this.studio.remove(this.key);
    const answer = (text: string, click: () => void): HTMLButtonElement =>
      h("button", { type: "button", class: "chip", click: () => { dialog.close(); click(); } }, text);
    const name = this.title.textContent!;
    const dialog = h("dialog", { "aria-label": "Remove", close: () => dialog.remove() },
      h("p", {}, `Remove ${quoted(name)} and its files from the server?`),
      h("div", { class: "answers" }, answer("Keep", () => undefined),
        answer("Remove", () => void this.studio.remove(this.key))));
    document.body.append(dialog);
    dialog.showModal();
  }

  private progress(part: number | null): void {
    const line = this.bar.parentElement!;
    line.classList.toggle("idle", part === null);
    line.setAttribute("aria-hidden", String(part === null)); // it keeps its height, and says nothing
    line.setAttribute("aria-valuenow", String(Math.round(100 * (part ?? 1))));
    this.bar.style.transform = `scaleX(${(part ?? 1).toFixed(4)})`;
  }

  private unfold(song: Song, open: boolean): void {
    const tracks = song.mix.tracks.join();
    const focused = document.activeElement;
    const inside = focused === this.play || (this.body?.element.contains(focused) ?? false);
    if (this.body !== null && (!open || this.body.tracks !== tracks)) {
      this.body.close();
      this.body = null;
    }
    if (open && this.body === null) {
      this.body = new Body(this.studio, song, this.actions);
      this.element.append(this.body.element);
    }
    if (this.body !== null) this.play.remove();
    else if (this.play.parentNode === null) this.element.querySelector("header")!.prepend(this.play);
    this.body?.update(song);
    if (inside && !this.element.contains(document.activeElement)) this.body?.focus();
  }
}
