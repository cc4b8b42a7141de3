/**
 * Puts the page together: the header, the places to drop songs, a card a song, the keyboard.
 *
 * Everything else is in a room, and each room uses only rooms that stand below it:
 *
 * - `cards`: a song as it is seen and handled, by pointer, keys or a screen reader
 * - `studio`: what the views act on; the deck that plays the open song; the page's address
 * - `files`: songs on their way in, files on their way out
 * - `songs`: what is known of them, the jobs behind them, whether their server answers
 * - `account`: its key, its view, its API, and the StemSplit jobs that are songs here
 * - `waves`: all that is painted over a song's time, and the gestures on it
 * - `api`: the server as it is called, and when to wait
 * - `player`: the mixer's sound on its way out, samples on their way in
 * - `base`: elements, words, theme; a song's tracks, mix and markers
 * - `mixer`: what runs on the audio thread, tempo and key as well; knows nothing of the page
 *
 * `docs` is the other page, the reference: it uses `base` alone.
 */

import { Account } from "./account/account";
import { AccountApi } from "./account/account-api";
import { AccountView } from "./account/account-view";
import { AllSongs } from "./songs/all-songs";
import { Announcer } from "./cards/announcer";
import { Card } from "./cards/card";
import { h, icon, say } from "./base/dom";
import { Downloads } from "./cards/downloads";
import { DropZone } from "./files/drop-zone";
import { clock } from "./base/format";
import { KeyForm } from "./base/key-form";
import { Notice } from "./base/notice";
import { Places } from "./studio/places";
import { Shortcuts } from "./cards/shortcuts";
import { SplitSongs } from "./account/split-songs";
import { ChoiceForm } from "./account/split-choice";
import { EMPTY, phaseOf, type Song, type State } from "./songs/state";
import { Studio } from "./studio/studio";
import { ThemeSwitch } from "./base/theme";

const KEY_PLACE = "stembox.key";

class Page {
  private readonly cards = new Map<string, Card>();
  private readonly list = h("div", { class: "songs" });
  private readonly banner = h("p", { class: "banner", role: "status", hidden: true });
  private readonly notice: Notice;
  private readonly lock = new KeyForm((key) => void this.unlock(key));
  private readonly accountApi = new AccountApi();
  private readonly api = new AllSongs(new SplitSongs(this.accountApi));
  private readonly studio = new Studio(this.api, () => this.dirty());
  private readonly downloads = new Downloads(this.studio);
  private readonly drop = new DropZone({
    files: (files) => this.take([...files]),
    chosen: () => queueMicrotask(() => this.focusFirst()), // when there are cards of them
    demo: () => void this.studio.demo(),
  });
  private readonly choice = new ChoiceForm();
  private readonly account = new Account(this.accountApi, (key) => this.onAccount(key));
  private readonly accountView = new AccountView(this.account);
  private readonly places = new Places((account) => this.show(account));
  private readonly shortcuts = new Shortcuts(this.studio, () => this.seen);
  private readonly announcer: Announcer;
  private accountKey = "";
  private painting = false;
  private shown = EMPTY;
  private changed = false;
  private counted: Song[] = [];

  constructor(root: HTMLElement) {
    const theme = h("button", { type: "button", class: "icon-button", "aria-label": "Dark theme",
      "data-action": "theme" }, icon("theme"));
    const region = h("div", { class: "hidden", role: "status", "aria-live": "polite" });
    this.announcer = new Announcer(region);
    this.notice = new Notice(() => this.studio.store.update({ notice: "" }));
    root.replaceChildren(
      h("header", { class: "top" }, h("h1", {}, "stembox"),
        this.places.links, theme),
      h("main", {}, this.banner, this.notice.element, this.lock.element, this.drop.element, this.list,
        this.accountView.element),
      this.shortcuts.dialog, region);
    this.drop.element.append(this.choice.element);
    new ThemeSwitch(theme, () => this.repaint());
    this.listen(root);
  }

  start(): void {
    this.api.key = kept();
    this.studio.store.subscribe(() => this.change());
    this.update(this.studio.store.value);
    this.dirty();
    this.account.start();
    void this.studio.start();
    this.places.show();
    setInterval(() => this.tick(), 1000);
  }

  /** The open song's player; none where another place is seen. */
  private get seen(): Card["player"] {
    return this.list.hidden ? null : this.body;
  }

  private get body(): Card["player"] {
    return this.cards.get(this.studio.store.value.open ?? "")?.player ?? null;
  }

  /** Changes that come together are shown together. */
  private change(): void {
    if (this.changed) return;
    this.changed = true;
    queueMicrotask(() => {
      this.changed = false;
      this.update(this.studio.store.value);
    });
  }

  /** What is left, in seconds; and the open song's links, whose addresses may have been signed anew. */
  private tick(): void {
    const { songs, open } = this.studio.store.value;
    for (const { key, upload } of songs) if (upload || key === open) this.cards.get(key)?.refresh();
  }

  private update(state: State): void {
    this.drop.update(state.formats, state.limit, state.demo, state.songs.length === 0);
    const away = state.away
      ? `The server has not answered since ${clock(state.away)}. The page tries again by itself.` : "";
    say(this.banner, away);
    this.banner.hidden = away === "";
    this.notice.update(state.notice);
    if (state.locked && !this.shown.locked) this.lockedOut();
    const before = this.shown;
    this.shown = state;
    const given = this.lock.element.contains(document.activeElement) && !state.locked;
    this.lock.update(state.locked, state.keyProblem);
    if (!sameKeys(state.songs, before.songs)) this.arrange(state.songs);
    const anew = state.songs.filter((song) =>
      this.cards.get(song.key)!.update(song, song.key === state.open));
    if (state.retention !== before.retention) for (const card of this.cards.values()) card.refresh();
    this.announcer.update(anew, state.retention);
    if (given) this.focusFirst();
    this.dirty();
  }

  /** A card for each song, in their order. */
  private arrange(songs: Song[]): void {
    const keys = new Set(songs.map((song) => song.key));
    const { activeElement } = document;
    const focused = [...this.list.children].findIndex((card) => card.contains(activeElement));
    for (const [key, card] of this.cards) {
      if (keys.has(key)) continue;
      card.close();
      this.cards.delete(key);
    }
    songs.forEach((song, place) => {
      const card = this.cards.get(song.key) ?? this.card(song.key);
      this.cards.set(song.key, card);
      const there = this.list.children[place];
      if (there !== card.element) this.list.insertBefore(card.element, there ?? null);
    });
    if (focused < 0 || this.list.contains(document.activeElement)) return;
    if (activeElement!.matches(".card")) this.focusFirst();
    else this.refocus(focused);
  }

  private card(key: string): Card {
    return new Card(this.studio, key, {
      help: () => this.shortcuts.show(),
      tell: (text) => this.announcer.tell(text),
    });
  }

  /** The focus goes to the newest song, or to where songs come in. */
  private focusFirst(): void {
    const card = this.cards.get(this.shown.songs[0]?.key ?? "");
    (card ?? this.drop.input).focus();
  }

  /** A card that goes leaves the focus to the one that takes its place. */
  private refocus(place: number): void {
    const card = this.list.children[place] ?? this.list.lastElementChild;
    const next = card?.querySelector<HTMLElement>('[data-action="open"]:enabled, [data-action="remove"]');
    (next ?? this.drop.input).focus();
  }

  private show(account: boolean): void {
    this.drop.element.hidden = this.list.hidden = account;
    this.accountView.show(account);
    this.account.show(account);
  }

  private take(files: File[]): void {
    const choice = this.choice.value;
    if (choice !== null) for (const file of files) this.api.choose(file, choice);
    this.studio.intake.addFiles(files);
    if (files.length > 0 && !this.accountView.element.hidden) location.hash = "#/";
  }

  /** A server that wants a key for everything takes the account's; the two go together. */
  private onAccount(key: string): void {
    const before = this.accountKey;
    this.accountKey = key;
    this.choice.update(key !== "");
    if (key !== "") {
      this.studio.welcome();
      if (this.studio.store.value.locked) this.lend();
    } else {
      this.studio.farewell();
      if (this.api.key === before) void this.unlock("");
    }
  }

  /** The server wants a key for everything from now on. */
  private lockedOut(): void {
    if (this.api.key === "" && this.accountKey !== "") this.lend();
    else this.announcer.tell("This server wants a key: its field is above the songs.");
  }

  /** Tries the account's key, if there is one, where the server wants one for everything. */
  private lend(): void {
    if (this.accountKey !== "") void this.unlock(this.accountKey);
  }

  /** The player has moved: its position for whoever follows it, a picture at the next frame. */
  private dirty(): void {
    document.documentElement.dataset.clock = String(Math.round(this.studio.deck.player.clock.position));
    if (this.painting) return;
    this.painting = true;
    requestAnimationFrame(() => {
      this.painting = false;
      this.count();
      this.body?.paint();
      if (this.studio.deck.player.playing) this.dirty();
    });
  }

  /** How many songs have expired: each card of one says so, and many may hear of it one by one. */
  private count(): void {
    const { songs } = this.shown;
    if (songs === this.counted) return;
    this.counted = songs;
    const expired = songs.filter((song) => phaseOf(song) === "expired").length;
    for (const card of this.cards.values()) card.count(expired);
  }

  private repaint(): void {
    this.body?.repaint();
  }

  private async unlock(key: string): Promise<void> {
    keep(""); // until it is known to be one
    if (await this.studio.unlock(key)) keep(key);
  }

  private listen(root: HTMLElement): void {
    // A click on a button leaves the focus where it was, so that the space bar goes on playing.
    root.addEventListener("mousedown", (event) => {
      if ((event.target as HTMLElement).closest("button")) event.preventDefault();
    });
    root.addEventListener("click", (event) => this.downloads.click(event));
  }
}

function sameKeys(songs: Song[], others: Song[]): boolean {
  return songs.length === others.length && songs.every((song, at) => song.key === others[at]!.key);
}

function kept(): string {
  try {
    return sessionStorage.getItem(KEY_PLACE) ?? "";
  } catch {
    return "";
  }
}

function keep(key: string): void {
  try {
    if (key === "") sessionStorage.removeItem(KEY_PLACE);
    else sessionStorage.setItem(KEY_PLACE, key);
  } catch {
    // it holds for this page
  }
}

new Page(document.getElementById("studio")!).start();
